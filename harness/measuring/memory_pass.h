#pragma once

#include <functional>

#include "records/record.h"

namespace subquad {

/// Runs `allocate`, then `call`, and writes down in `record` what memory that took beside what was
/// there before: resident memory over both, allocations seen by the hooks during `call` alone.
void watch_memory(const std::function<void()>& allocate, const std::function<void()>& call,
                  Record& record);

}  // namespace subquad
