#include "controlplane/ike/proposal.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "controlplane/ike/payloads.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

constexpr std::uint32_t situation_identity_only = 1;
constexpr std::uint8_t transform_key_ike = 1;
constexpr std::size_t proposals_max = 8;

// RFC 2409 appendix A and the IANA registry; numbers of attributes and of their values.
enum Attr : std::uint16_t {
  attr_encryption = 1,
  attr_hash = 2,
  attr_auth = 3,
  attr_group = 4,
  attr_life_type = 11,
  attr_life_duration = 12,
  attr_key_length = 14
};
constexpr std::uint16_t encryption_3des = 5;
constexpr std::uint16_t encryption_aes = 7;
constexpr std::uint16_t life_seconds = 1;
constexpr std::uint16_t life_kilobytes = 2;

struct HashNumber {
  crypto::Hash hash;
  std::uint16_t number;
};
constexpr HashNumber hash_numbers[] = {{crypto::Hash::md5, 1},
                                       {crypto::Hash::sha1, 2},
                                       {crypto::Hash::sha256, 4},
                                       {crypto::Hash::sha384, 5},
                                       {crypto::Hash::sha512, 6}};

std::uint16_t number_of(crypto::Hash hash) {
  const auto* found = std::find_if(std::begin(hash_numbers), std::end(hash_numbers),
                                   [&](const HashNumber& h) { return h.hash == hash; });
  return found->number;
}

std::optional<crypto::Hash> hash_of(std::uint32_t number) {
  for (const auto& known : hash_numbers)
    if (known.number == number) return known.hash;
  return std::nullopt;
}

std::optional<crypto::Cipher> cipher_of(std::uint32_t encryption, std::uint32_t key_length) {
  if (encryption == encryption_3des && key_length == 0) return crypto::Cipher::triple_des;
  if (encryption != encryption_aes) return std::nullopt;
  switch (key_length) {
    case 128:
      return crypto::Cipher::aes_128;
    case 192:
      return crypto::Cipher::aes_192;
    case 256:
      return crypto::Cipher::aes_256;
    default:
      return std::nullopt;
  }
}

std::optional<AuthMethod> auth_of(std::uint32_t number) {
  for (const auto known : {AuthMethod::pre_shared_key, AuthMethod::rsa_signature,
                           AuthMethod::ecdsa_256, AuthMethod::ecdsa_384, AuthMethod::ecdsa_521})
    if (static_cast<std::uint32_t>(known) == number) return known;
  return std::nullopt;
}

/// What the attributes of one transform say, before their meaning.
struct Numbers {
  std::uint32_t encryption = 0, hash = 0, auth = 0, group = 0, key_length = 0;
  std::optional<std::uint32_t> seconds;
};

/// Nothing when an attribute is unknown or given twice: a transform is taken whole or not at all.
std::optional<Numbers> numbers_of(const std::vector<Attribute>& attributes) {
  Numbers numbers;
  std::uint32_t life_type = 0;
  const auto once = [](std::uint32_t& field, std::uint32_t value) {
    const bool first = field == 0 && value != 0;
    field = value;
    return first;
  };
  for (const Attribute& attribute : attributes) {
    const auto value = attribute.number();
    if (!value) return std::nullopt;
    bool taken = false;
    switch (attribute.type) {
      case attr_encryption:
        taken = once(numbers.encryption, *value);
        break;
      case attr_hash:
        taken = once(numbers.hash, *value);
        break;
      case attr_auth:
        taken = once(numbers.auth, *value);
        break;
      case attr_group:
        taken = once(numbers.group, *value);
        break;
      case attr_key_length:
        taken = once(numbers.key_length, *value);
        break;
      case attr_life_type:
        life_type = *value;
        taken = life_type == life_seconds || life_type == life_kilobytes;
        break;
      case attr_life_duration:
        // A limit in kilobytes is the peer's to enforce: it re-keys when it is reached.
        if (life_type == life_seconds) numbers.seconds = *value;
        taken = life_type != 0 && *value != 0;
        life_type = 0;
        break;
      default:
        break;
    }
    if (!taken) return std::nullopt;
  }
  return numbers;
}

std::optional<Phase1Policy> policy_of(ByteView attributes) {
  const auto parsed = parse_attributes(attributes);
  const auto numbers = parsed ? numbers_of(*parsed) : std::nullopt;
  if (!numbers) return std::nullopt;
  const auto cipher = cipher_of(numbers->encryption, numbers->key_length);
  const auto hash = hash_of(numbers->hash);
  const auto auth = auth_of(numbers->auth);
  const auto group = static_cast<crypto::DhGroup>(numbers->group);
  if (!cipher || !hash || !auth || numbers->group > 0xffff || !crypto::is_known(group))
    return std::nullopt;
  Phase1Policy policy{*cipher, *hash, group, *auth};
  // Absent: RFC 2407 section 4.5 speaks of 28800 seconds; here the receiver's own limit stands.
  policy.lifetime = std::chrono::seconds(numbers->seconds.value_or(0xffffffff));
  return policy;
}

bool same_algorithms(const Phase1Policy& a, const Phase1Policy& b) {
  return a.cipher == b.cipher && a.hash == b.hash && a.group == b.group && a.auth == b.auth;
}

//  !   Transform # !  Transform-Id !           RESERVED2           !   RFC 2408 section 3.6
//  ~                        SA Attributes                          ~
Result<OfferedTransform> parse_transform(ByteView body) {
  Reader in(body);
  OfferedTransform transform;
  transform.number = in.u8();
  const std::uint8_t id = in.u8();
  in.skip(2);
  transform.attributes = in.rest();
  if (!in.ok()) return fail(bad_proposal, "a transform without its fields");
  if (id == transform_key_ike) transform.policy = policy_of(transform.attributes);
  return transform;
}

//  !  Proposal #   !  Protocol-Id  !    SPI Size   !# of Transforms!   RFC 2408 section 3.5
//  !                        SPI (variable)                         !
Result<std::optional<Offer>> parse_proposal(ByteView body) {
  Reader in(body);
  Offer offer;
  offer.proposal_number = in.u8();
  const std::uint8_t protocol = in.u8();
  const std::size_t spi_size = in.u8();
  const std::size_t count = in.u8();
  in.skip(spi_size);  // the cookies are the SPI; what stands here is ignored, RFC 2408 section 3.5
  const ByteView rest = in.rest();
  if (!in.ok() || spi_size > 16) return fail(bad_proposal, "a proposal without its fields");
  COHORT_TRY(const auto payloads, walk(PayloadType::transform, rest, false));
  if (payloads.size() != count)
    return fail(bad_proposal, fmt::format("{} transforms, {} announced", payloads.size(), count));
  for (const RawPayload& payload : payloads) {
    if (payload.type != PayloadType::transform) return fail(bad_proposal, "not a transform");
    COHORT_TRY(const auto transform, parse_transform(payload.body));
    offer.transforms.push_back(transform);
  }
  if (protocol != protocol_isakmp) return std::optional<Offer>{};
  return std::optional<Offer>(std::move(offer));
}

void write_transform(Writer& out, std::uint8_t number, bool last, ByteView attributes) {
  out.u8(last ? 0 : static_cast<std::uint8_t>(PayloadType::transform))
      .u8(0)
      .u16(static_cast<std::uint16_t>(8 + attributes.size()))
      .u8(number)
      .u8(transform_key_ike)
      .u16(0)
      .bytes(attributes);
}

Bytes sa_body_of(const Offer& offer) {
  Writer out;
  out.u32(offer.doi).u32(offer.situation);
  const std::size_t start = out.size();
  out.u8(0)
      .u8(0)
      .u16(0)
      .u8(offer.proposal_number)
      .u8(protocol_isakmp)
      .u8(0)
      .u8(static_cast<std::uint8_t>(offer.transforms.size()));
  for (const auto& transform : offer.transforms)
    write_transform(out, transform.number, &transform == &offer.transforms.back(),
                    transform.attributes);
  out.patch_u16(start + 2, static_cast<std::uint16_t>(out.size() - start));
  return out.take();
}

Bytes attributes_of(const Phase1Policy& policy) {
  Writer out;
  const bool aes = policy.cipher != crypto::Cipher::triple_des;
  write_basic(out, attr_encryption, aes ? encryption_aes : encryption_3des);
  write_basic(out, attr_hash, number_of(policy.hash));
  write_basic(out, attr_auth, static_cast<std::uint16_t>(policy.auth));
  write_basic(out, attr_group, static_cast<std::uint16_t>(policy.group));
  write_basic(out, attr_life_type, life_seconds);
  const auto seconds = static_cast<std::uint32_t>(policy.lifetime.count());
  if (seconds <= 0xffff) {
    write_basic(out, attr_life_duration, static_cast<std::uint16_t>(seconds));
  } else {
    Writer number;
    number.u32(seconds);
    write_variable(out, attr_life_duration, number.view());
  }
  if (aes)
    write_basic(out, attr_key_length,
                static_cast<std::uint16_t>(8 * crypto::key_size(policy.cipher)));
  return out.take();
}

}  // namespace

//  !              Domain of Interpretation  (DOI)                  !   RFC 2408 section 3.4
//  !                           Situation                           !
Result<Offer> parse_offer(ByteView sa_body) {
  Reader in(sa_body);
  const std::uint32_t doi = in.u32();
  const std::uint32_t situation = in.u32();
  const ByteView rest = in.rest();
  if (!in.ok()) return fail(bad_proposal, "an SA payload without DOI and situation");
  if (doi != doi_gdoi && doi != doi_ipsec) return fail(bad_proposal, fmt::format("DOI {}", doi));
  if (situation > situation_identity_only)
    return fail(bad_proposal, fmt::format("situation {:#x}", situation));
  COHORT_TRY(const auto payloads, walk(PayloadType::proposal, rest, false));
  if (payloads.size() > proposals_max) return fail(bad_proposal, "too many proposals");
  std::optional<Offer> first;
  for (const RawPayload& payload : payloads) {
    if (payload.type != PayloadType::proposal) return fail(bad_proposal, "not a proposal");
    COHORT_TRY(auto offer, parse_proposal(payload.body));
    if (offer && !first) first = std::move(offer);
  }
  if (!first) return fail(bad_proposal, "no ISAKMP proposal");
  first->doi = doi;
  first->situation = situation;
  return std::move(*first);
}

Bytes offer_body(std::uint32_t doi, std::uint32_t situation,
                 std::span<const Phase1Policy> policies) {
  Offer offer{doi, situation, 1, {}};
  std::vector<Bytes> attributes;
  for (const Phase1Policy& policy : policies) attributes.push_back(attributes_of(policy));
  for (std::size_t i = 0; i < attributes.size(); ++i)
    offer.transforms.push_back({static_cast<std::uint8_t>(i + 1), attributes[i], {}});
  return sa_body_of(offer);
}

Result<Choice> choose(const Offer& offer, std::span<const Phase1Policy> ours) {
  for (const Phase1Policy& mine : ours) {
    for (const OfferedTransform& transform : offer.transforms) {
      if (!transform.policy || !same_algorithms(mine, *transform.policy)) continue;
      Choice choice{mine,
                    sa_body_of({offer.doi, offer.situation, offer.proposal_number, {transform}})};
      choice.policy.lifetime = std::min(mine.lifetime, transform.policy->lifetime);
      return choice;
    }
  }
  std::string offered;
  for (const OfferedTransform& transform : offer.transforms) {
    if (offered.size() > 200) break;
    offered += (offered.empty() ? "" : ", ") +
               (transform.policy ? text_of(*transform.policy) : std::string("unknown"));
  }
  return fail(no_proposal_chosen, "offered: " + offered);
}

Result<Accepted> accept_answer(ByteView sa_body, std::span<const Phase1Policy> offered) {
  COHORT_TRY(const Offer answer, parse_offer(sa_body));
  if (answer.transforms.size() != 1 || !answer.transforms.front().policy)
    return fail(bad_proposal, "the answer is not one known transform");
  const Phase1Policy& chosen = *answer.transforms.front().policy;
  for (const Phase1Policy& mine : offered) {
    if (!same_algorithms(mine, chosen)) continue;
    Accepted accepted{mine, answer.doi};
    accepted.policy.lifetime = std::min(mine.lifetime, chosen.lifetime);
    return accepted;
  }
  return fail(bad_proposal, "the answer was not offered: " + text_of(chosen));
}

bool is_weak(const Phase1Policy& policy) {
  return policy.cipher == crypto::Cipher::triple_des || policy.hash == crypto::Hash::md5 ||
         policy.hash == crypto::Hash::sha1 || policy.group == crypto::DhGroup::modp1024 ||
         policy.group == crypto::DhGroup::modp1536;
}

bool is_signature(AuthMethod method) {
  return method != AuthMethod::pre_shared_key;
}

AuthMethod method_of(crypto::KeyType type) {
  switch (type) {
    case crypto::KeyType::rsa:
      return AuthMethod::rsa_signature;
    case crypto::KeyType::ecdsa_p256:
      return AuthMethod::ecdsa_256;
    case crypto::KeyType::ecdsa_p384:
      return AuthMethod::ecdsa_384;
    case crypto::KeyType::ecdsa_p521:
      return AuthMethod::ecdsa_521;
  }
  return AuthMethod::rsa_signature;
}

std::string text_of(const Phase1Policy& policy) {
  std::string_view auth = "psk";
  switch (policy.auth) {
    case AuthMethod::pre_shared_key:
      break;
    case AuthMethod::rsa_signature:
      auth = "rsa-sig";
      break;
    case AuthMethod::ecdsa_256:
      auth = "ecdsa-256";
      break;
    case AuthMethod::ecdsa_384:
      auth = "ecdsa-384";
      break;
    case AuthMethod::ecdsa_521:
      auth = "ecdsa-521";
      break;
  }
  return fmt::format("{}/{}/group {}/{}", crypto::name_of(policy.cipher),
                     crypto::name_of(policy.hash), static_cast<unsigned>(policy.group), auth);
}

}  // namespace cohort::ike
