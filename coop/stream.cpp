#include "coop/stream.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "coop/reasons.hpp"

namespace cohort::coop {

void StreamSender::restart(bool from_scratch) {
  if (from_scratch) acknowledged_ = 0;
  stop();
  running_ = true;
  ++number_;
}

void StreamSender::stop() {
  running_ = false;
  base_ = sent_ = highest_ = 0;
  buffer_ = {};
  marks_.clear();
  queued_ = acknowledged_;
  deadline_ = never;
  wait_ = first_;
  timed_.reset();
}

void StreamSender::fill(const Replica& replica, const IpAddress& peer) {
  while (base_ + buffer_.size() - sent_ < data_octets_max) {
    const auto change = replica.next_after(queued_, peer);
    if (!change) return;
    Bytes record = encode_item(*change->item);
    const Bytes length = Writer().u32(static_cast<std::uint32_t>(record.size())).take();
    buffer_.insert(buffer_.end(), length.begin(), length.end());
    buffer_.insert(buffer_.end(), record.begin(), record.end());
    zeroize(record);
    queued_ = change->number;
    marks_.push_back({base_ + buffer_.size(), queued_});
  }
}

void StreamSender::pump(TimePoint now, const Replica& replica, const IpAddress& peer,
                        const Send& send) {
  if (!running_) return;
  if (now >= deadline_) {
    sent_ = base_;
    wait_ = std::min(wait_ * 2, max_);
    deadline_ = never;
    timed_.reset();
    ++retransmissions_;
  }
  while (sent_ - base_ < window * data_octets_max) {
    fill(replica, peer);
    const std::uint64_t left = base_ + buffer_.size() - sent_;
    if (left == 0) break;
    const auto length = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(left, data_octets_max));
    const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(sent_ - base_);
    send(Data{number_, sent_, WipedBytes(from, from + length)});
    sent_ += static_cast<std::uint64_t>(length);
    if (sent_ > highest_ && !timed_) timed_.emplace(sent_, now);
    highest_ = std::max(highest_, sent_);
    if (deadline_ == never) deadline_ = now + wait_;
  }
}

void StreamSender::on_ack(TimePoint now, const Ack& ack) {
  if (!running_ || ack.stream != number_ || ack.offset <= base_ || ack.offset > highest_) return;
  const auto gone = static_cast<std::ptrdiff_t>(ack.offset - base_);
  buffer_.erase(buffer_.begin(), buffer_.begin() + gone);
  base_ = ack.offset;
  sent_ = std::max(sent_, base_);  // it may have gone back before this came
  while (!marks_.empty() && marks_.front().end <= base_) {
    acknowledged_ = marks_.front().change;
    marks_.pop_front();
  }
  // What was sent once tells how far away the peer is; what was sent again does not.
  if (timed_ && base_ >= timed_->first) {
    wait_ = std::clamp(3 * (now - timed_->second), first_, max_);
    timed_.reset();
  }
  deadline_ = sent_ > base_ ? now + wait_ : never;
}

bool StreamSender::holds(const Replica& replica, const IpAddress& peer,
                         std::uint64_t change) const {
  const auto next = replica.next_after(acknowledged_, peer);
  return !next || next->number > change;
}

void StreamReceiver::reset() {
  *this = StreamReceiver();
}

Result<StreamReceiver::Taken> StreamReceiver::take(const Data& data) {
  Taken taken;
  if (data.stream < number_) return taken;
  if (data.stream > number_) {
    reset();
    number_ = data.stream;
  }
  if (broken_) return taken;
  taken.acknowledge = true;  // what is there again, or too early: say where we are
  if (data.offset > expected_) {
    const bool within = data.offset - expected_ < StreamSender::window * data_octets_max;
    if (within && early_.size() < StreamSender::window)
      early_.try_emplace(data.offset, data.octets);
    return taken;
  }
  if (data.offset != expected_) return taken;
  expected_ += data.octets.size();
  partial_.insert(partial_.end(), data.octets.begin(), data.octets.end());
  for (auto next = early_.begin(); next != early_.end() && next->first <= expected_;) {
    const WipedBytes& octets = next->second;
    if (next->first == expected_) {
      expected_ += octets.size();
      partial_.insert(partial_.end(), octets.begin(), octets.end());
    }
    next = early_.erase(next);
  }
  std::size_t at = 0;
  while (partial_.size() - at >= 4) {
    const std::size_t length = Reader(ByteView(partial_).subspan(at)).u32();
    if (length == 0 || length > record_octets_max) {
      broken_ = true;
      partial_ = {};
      return fail(coop_record, fmt::format("a record of {} octets", length));
    }
    if (partial_.size() - at - 4 < length) break;
    const ByteView record = ByteView(partial_).subspan(at + 4, length);
    taken.records.emplace_back(record.begin(), record.end());
    at += 4 + length;
  }
  partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(at));
  return taken;
}

}  // namespace cohort::coop
