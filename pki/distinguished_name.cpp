#include "pki/distinguished_name.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>
#include <optional>

#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

struct Keyword {
  std::string_view text;  ///< upper case
  int nid;
};

/// Keywords of RFC 4514 section 3 and those that routers and other tools write.
constexpr std::array keywords{
    Keyword{"CN", NID_commonName},
    Keyword{"OU", NID_organizationalUnitName},
    Keyword{"O", NID_organizationName},
    Keyword{"C", NID_countryName},
    Keyword{"L", NID_localityName},
    Keyword{"ST", NID_stateOrProvinceName},
    Keyword{"SP", NID_stateOrProvinceName},
    Keyword{"S", NID_stateOrProvinceName},
    Keyword{"STREET", NID_streetAddress},
    Keyword{"DC", NID_domainComponent},
    Keyword{"UID", NID_userId},
    Keyword{"SN", NID_surname},
    Keyword{"GN", NID_givenName},
    Keyword{"T", NID_title},
    Keyword{"TITLE", NID_title},
    Keyword{"DNQ", NID_dnQualifier},
    Keyword{"DNQUALIFIER", NID_dnQualifier},
    Keyword{"SERIALNUMBER", NID_serialNumber},
    Keyword{"E", NID_pkcs9_emailAddress},
    Keyword{"EMAIL", NID_pkcs9_emailAddress},
    Keyword{"EMAILADDRESS", NID_pkcs9_emailAddress},
    Keyword{"UNSTRUCTUREDNAME", NID_pkcs9_unstructuredName},
    Keyword{"HOSTNAME", NID_pkcs9_unstructuredName},
    Keyword{"UNSTRUCTUREDADDRESS", NID_pkcs9_unstructuredAddress},
    Keyword{"IPADDRESS", NID_pkcs9_unstructuredAddress},
};

std::optional<int> nid_of(std::string_view type) {
  std::string upper(type);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const auto& keyword : keywords)
    if (keyword.text == upper) return keyword.nid;
  return std::nullopt;
}

/// The keyword that we print for a type; its OpenSSL short name else, or its dotted OID.
std::string type_text(const ASN1_OBJECT* object) {
  const int nid = OBJ_obj2nid(object);
  if (nid == NID_serialNumber) return "serialNumber";
  if (nid == NID_pkcs9_unstructuredName) return "unstructuredName";
  if (nid == NID_pkcs9_unstructuredAddress) return "unstructuredAddress";
  if (nid == NID_pkcs9_emailAddress) return "emailAddress";
  for (const auto& keyword : keywords)
    if (keyword.nid == nid) return std::string(keyword.text);
  std::array<char, 128> text{};
  OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 1);
  return text.data();
}

bool is_dotted(std::string_view type) {
  return !type.empty() && type.front() >= '0' && type.front() <= '2' &&
         type.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool is_space(char c) {
  return c == ' ' || c == '\t';
}

/// A cursor over the text of a name.
class NameText {
 public:
  explicit NameText(std::string_view text) : text_(text) {}

  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  [[nodiscard]] std::size_t offset() const { return at_; }
  [[nodiscard]] char peek() const { return text_[at_]; }
  void step() { ++at_; }

  /// What stands before '=', or nothing if there is no '='.
  [[nodiscard]] std::string_view type_at(std::size_t from) const {
    std::size_t end = from;
    while (end < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '.'))
      ++end;
    std::size_t equals = end;
    while (equals < text_.size() && is_space(text_[equals])) ++equals;
    if (equals >= text_.size() || text_[equals] != '=') return {};
    return text_.substr(from, end - from);
  }

  /// True if the space at the cursor separates attributes: a known type and '=' follow.
  [[nodiscard]] bool space_separates() const {
    std::size_t next = at_;
    while (next < text_.size() && is_space(text_[next])) ++next;
    const std::string_view type = type_at(next);
    return !type.empty() && nid_of(type).has_value();
  }

  void take_type(std::string_view type) {
    at_ += type.size();
    skip_space();
    step();  // '='
    skip_space();
  }

  /// A value up to its separator, unescaped. `closed` tells a finished quoted string.
  Result<std::string> take_value() {
    if (!at_end() && peek() == '"') return take_quoted();
    std::string out;
    std::size_t keep = 0;  // escaped space at the end stays
    while (!at_end()) {
      const char c = peek();
      if (c == ',' || c == ';') break;
      if (c == '+' || c == '"') return fail(bad_name, fmt::format("'{}' at {}", c, at_));
      if (is_space(c) && space_separates()) break;
      if (c == '\\') {
        COHORT_TRY(const char escaped, take_escape());
        out.push_back(escaped);
        keep = out.size();
        continue;
      }
      out.push_back(c);
      step();
    }
    while (out.size() > keep && is_space(out.back())) out.pop_back();
    return out;
  }

 private:
  Result<std::string> take_quoted() {
    std::string out;
    step();
    while (!at_end() && peek() != '"') {
      if (peek() == '\\') {
        COHORT_TRY(const char escaped, take_escape());
        out.push_back(escaped);
        continue;
      }
      out.push_back(peek());
      step();
    }
    if (at_end()) return fail(bad_name, "a quoted value does not end");
    step();
    return out;
  }

  /// '\' and a character, or '\' and two hex digits (RFC 4514 section 3).
  Result<char> take_escape() {
    step();
    if (at_end()) return fail(bad_name, "'\\' at the end");
    const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    if (at_ + 1 < text_.size() && is_hex(peek()) && is_hex(text_[at_ + 1])) {
      COHORT_TRY(const Bytes octet, from_hex(text_.substr(at_, 2)));
      at_ += 2;
      return static_cast<char>(octet.front());
    }
    const char c = peek();
    step();
    return c;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<NameAttribute>> parse_name(std::string_view text) {
  if (text.size() > name_text_max)
    return fail(bad_name, fmt::format("{} characters; at most {}", text.size(), name_text_max));
  std::vector<NameAttribute> out;
  NameText cursor(text);
  cursor.skip_space();
  while (!cursor.at_end()) {
    const std::string_view type = cursor.type_at(cursor.offset());
    if (type.empty())
      return fail(bad_name, fmt::format("no TYPE=value at character {}", cursor.offset()));
    if (!nid_of(type) && !is_dotted(type))
      return fail(bad_name, fmt::format("unknown attribute type {}", type));
    cursor.take_type(type);
    COHORT_TRY(std::string value, cursor.take_value());
    if (value.empty()) return fail(bad_name, fmt::format("{} has no value", type));
    out.push_back({std::string(type), std::move(value)});
    if (out.size() > name_attributes_max) return fail(bad_name, "too many attributes");
    cursor.skip_space();
    if (cursor.at_end() || (cursor.peek() != ',' && cursor.peek() != ';')) continue;
    cursor.step();
    cursor.skip_space();
    if (cursor.at_end()) return fail(bad_name, "it ends with a separator");
  }
  return out;
}

Result<Bytes> name_to_der(const std::vector<NameAttribute>& attributes) {
  const ossl::NamePtr name(X509_NAME_new());
  if (!name) return ossl::failed("name");
  for (auto attribute = attributes.rbegin(); attribute != attributes.rend(); ++attribute) {
    const auto nid = nid_of(attribute->type);
    const std::unique_ptr<ASN1_OBJECT, ossl::Deleter<ASN1_OBJECT_free>> object(
        nid ? OBJ_nid2obj(*nid) : OBJ_txt2obj(attribute->type.c_str(), 1));
    if (!object ||
        X509_NAME_add_entry_by_OBJ(name.get(), object.get(), MBSTRING_UTF8,
                                   reinterpret_cast<const std::uint8_t*>(attribute->value.data()),
                                   static_cast<int>(attribute->value.size()), -1, 0) != 1)
      return fail(bad_name,
                  fmt::format("{}={}: {}", attribute->type, attribute->value, ossl::take_error()));
  }
  return name_der(name.get());
}

Result<Bytes> name_der_of_text(std::string_view text) {
  COHORT_TRY(const auto attributes, parse_name(text));
  return name_to_der(attributes);
}

std::string name_text(const X509_NAME* name) {
  const ossl::Bio bio = ossl::memory();
  // RFC 2253's escapes are those of RFC 4514; UTF-8 stays readable.
  constexpr unsigned long flags =
      XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (name == nullptr || !bio || X509_NAME_print_ex(bio.get(), name, 0, flags) < 0) {
    ERR_clear_error();
    return {};
  }
  const ByteView text = ossl::contents(bio.get());
  return {text.begin(), text.end()};
}

Result<std::string> name_text(ByteView der) {
  const std::uint8_t* at = der.data();
  const ossl::NamePtr name(d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size())));
  if (!name || at != der.data() + der.size()) {
    ERR_clear_error();
    return fail(bad_name, "not a DER name");
  }
  return name_text(name.get());
}

std::vector<NameAttribute> name_attributes(const X509_NAME* name) {
  std::vector<NameAttribute> out;
  const int count = name == nullptr ? 0 : X509_NAME_entry_count(name);
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    out.push_back({type_text(X509_NAME_ENTRY_get_object(entry)),
                   ossl::utf8(X509_NAME_ENTRY_get_data(entry))});
  }
  return out;
}

Bytes name_der(const X509_NAME* name) {
  return ossl::der_of(name, i2d_X509_NAME);
}

std::string name_key(ByteView der) {
  const std::uint8_t* at = der.data();
  const ossl::NamePtr name(d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  std::string out;
  const int count = name ? X509_NAME_entry_count(name.get()) : 0;
  for (int i = 0; i < count; ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name.get(), i);
    std::array<char, 128> type{};
    OBJ_obj2txt(type.data(), static_cast<int>(type.size()), X509_NAME_ENTRY_get_object(entry), 1);
    out += fmt::format("{}/{}=", X509_NAME_ENTRY_set(entry), type.data());
    bool space = true;  // none at the beginning
    for (const char c : ossl::utf8(X509_NAME_ENTRY_get_data(entry))) {
      if (c == ' ' && space) continue;
      space = c == ' ';
      out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    }
    if (space && !out.empty() && out.back() == ' ') out.pop_back();
    out.push_back('\n');  // utf8() has none
  }
  return out;
}

bool same_name(ByteView a_der, ByteView b_der) {
  return name_key(a_der) == name_key(b_der);
}

}  // namespace cohort::pki
