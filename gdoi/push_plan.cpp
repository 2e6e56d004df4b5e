#include <algorithm>
#include <fmt/core.h>

#include "gdoi/policy_wire.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {

std::optional<PushContent> make_push(const PushPlan& plan, const PushContext& context) {
  PushContent content;
  content.deletes = plan.deletes;
  Extras extras = context.extras;
  extras.superseded_to_hear = true;
  SaPayload sa;
  KdPayload kd;
  if (plan.new_kek) {
    sa.sak = make_sak(context.policy.rekey, *plan.new_kek, context.from, context.to, context.now);
    kd.packets.push_back(make_key_packet(plan.new_kek->kek));
  }
  std::vector<std::uint32_t> spis;
  for (const SatPlan& item : plan.sats) {
    auto sat = make_sat(item, context.keys, extras, context.now);
    if (!sat) continue;
    sa.sats.push_back(std::move(*sat));
    if (item.spi != 0 && std::find(spis.begin(), spis.end(), item.spi) == spis.end()) {
      spis.push_back(item.spi);
      kd.packets.push_back(make_key_packet(context.keys.find(item.spi)->tek));
    }
  }
  if (sa.sak || !sa.sats.empty()) {
    sa.gap = make_gap(context.policy, context.keys, spis, context.now);
    if (goes_by_time(sa)) sa.gap->group_time_ms = context.group_time_ms;
    content.sa = std::move(sa);
    content.kd = std::move(kd);
  }
  if (!content.sa && content.deletes.empty()) return std::nullopt;
  return content;
}

namespace {

std::size_t size_of(const PushPlan& plan, const PushContext& context, const Kek& under,
                    std::size_t signature_octets) {
  const auto content = make_push(plan, context);
  return content ? push_size(under, *content, signature_octets) : 0;
}

}  // namespace

Result<std::vector<PushPlan>> divide_push(PushPlan whole, const PushContext& context,
                                          const Kek& under, std::size_t signature_octets,
                                          std::size_t size_max) {
  const auto fits = [&](const PushPlan& plan) {
    return size_of(plan, context, under, signature_octets) <= size_max;
  };
  std::vector<PushPlan> plans;
  if (fits(whole)) {
    plans.push_back(std::move(whole));
    return plans;
  }
  PushPlan last;
  last.deletes = std::move(whole.deletes);
  last.new_kek = std::move(whole.new_kek);
  if (!fits(last)) return fail(update_too_large, "Delete and KEK");
  PushPlan current;
  for (auto item = whole.sats.rbegin(); item != whole.sats.rend(); ++item) {
    PushPlan longer = current;
    longer.sats.insert(longer.sats.begin(), *item);
    if (fits(longer)) {
      current = std::move(longer);
      continue;
    }
    if (current.sats.empty()) return fail(update_too_large, item->entry.text());
    plans.push_back(std::move(current));
    current = {};
    current.sats.push_back(*item);
    if (!fits(current)) return fail(update_too_large, item->entry.text());
  }
  // The first entries of the policy may travel with the KEK and the deletions.
  PushPlan joined = last;
  joined.sats = current.sats;
  if (fits(joined)) {
    plans.push_back(std::move(joined));
    return plans;
  }
  plans.push_back(std::move(current));
  if (last.new_kek || !last.deletes.empty()) plans.push_back(std::move(last));
  return plans;
}

}  // namespace cohort::gdoi
