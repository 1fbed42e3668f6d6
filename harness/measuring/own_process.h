#pragma once

#include <string>

namespace subquad {

/// Binds this thread, and those that it starts from now on, to so many processors, on different
/// cores as far as there are any, and says to which: "0,2". Throws Error if this process may not
/// run on that many.
std::string pin_to_processors(int count);

/// Threads of this process now.
int count_threads();

}  // namespace subquad
