#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/world/identity.hpp"

typedef struct X509_name_st X509_NAME;

/// Distinguished names as DER, as text and as attributes. Text is in the order of RFC 4514: the
/// most specific attribute ("CN=") first, which is the last one of the DER sequence.
namespace cohort::pki {

inline constexpr std::size_t name_text_max = 1024;  ///< characters accepted by the parser
inline constexpr std::size_t name_attributes_max = 32;

/// Attributes of a text, in the order of the text. Separators are ',' and ';' (RFC 4514), or plain
/// space before another known type ("CN=gm1 OU=GETVPN_GM", as routers write it); '\' escapes, and
/// double quotes enclose a value. Types are the usual keywords in any case, or dotted numbers.
/// Multi-valued RDNs ('+') are refused. Fails with bad_name and says what was found.
[[nodiscard]] Result<std::vector<NameAttribute>> parse_name(std::string_view text);

/// DER Name of attributes given in the order of the text (so the DER has them reversed).
[[nodiscard]] Result<Bytes> name_to_der(const std::vector<NameAttribute>& attributes);
/// parse_name, then name_to_der.
[[nodiscard]] Result<Bytes> name_der_of_text(std::string_view text);

/// RFC 4514 text of a DER Name; unknown attribute types print as OID=#hex.
[[nodiscard]] Result<std::string> name_text(ByteView der);
[[nodiscard]] std::string name_text(const X509_NAME* name);
/// Attributes in the order of the certificate.
[[nodiscard]] std::vector<NameAttribute> name_attributes(const X509_NAME* name);
[[nodiscard]] Bytes name_der(const X509_NAME* name);
/// The same text for names that certificates hold to be the same (RFC 5280 section 7.1): types as
/// numbers, values in lower case without repeated spaces. For look-ups, not for people.
[[nodiscard]] std::string name_key(ByteView der);
/// Equality as certificates compare names: case and repeated spaces do not count (RFC 5280 7.1).
[[nodiscard]] bool same_name(ByteView a_der, ByteView b_der);

}  // namespace cohort::pki
