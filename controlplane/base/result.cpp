#include "controlplane/base/result.hpp"

namespace cohort {

std::string Error::text() const {
  std::string out(reason_->name);
  out.append(": ").append(reason_->sentence);
  if (!detail_.empty()) out.append(" (").append(detail_).append(")");
  return out;
}

}  // namespace cohort
