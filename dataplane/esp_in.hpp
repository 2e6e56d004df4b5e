#pragma once

#include "dataplane/burst.hpp"
#include "dataplane/esp_out.hpp"

namespace cohort::dataplane {

/// Decrypts every packet of the burst whose verdict is decrypt (an ESP packet of note.sa,
/// unfragmented). Afterwards the note describes the inner packet: verdict undecided, sa still set,
/// for the lookup that must find it expected under the SA; or drop. Check, authenticate, then
/// commit (RFC 4303 section 3.4.3). Returns how many were decrypted.
unsigned esp_in(EspContext& context, Burst& burst);

}  // namespace cohort::dataplane
