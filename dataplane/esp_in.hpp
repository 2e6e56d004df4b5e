#pragma once

#include "dataplane/burst.hpp"
#include "dataplane/esp_out.hpp"

namespace cohort::dataplane {

/// Decrypts every packet of the burst whose verdict is decrypt (an ESP packet of note.sa,
/// unfragmented). Afterwards the note describes the inner packet: verdict undecided, sa still set,
/// for the lookup that must find it expected under the SA; or drop. Check, authenticate, then
/// commit (RFC 4303 section 3.4.3). Returns how many were decrypted. `sa_of_all`: all packets of
/// the burst are whole ESP packets of this SA, whatever their notes say of that; null if not so.
unsigned esp_in(EspContext& context, Burst& burst, SaState* sa_of_all);

}  // namespace cohort::dataplane
