#pragma once

#include <dlfcn.h>

namespace subquad {

/// Tells the OpenMP of the library that holds `function` to use no more than the calling thread:
/// tiles are spread over the harness's threads. This is a setting of each thread. It is asked for
/// through the library, because the compiler's own OpenMP may be another one.
inline void use_no_openmp_threads(const void* function) {
  using SetThreads = void (*)(int);
  static const SetThreads set_threads = [function]() -> SetThreads {
    Dl_info info{};
    if (::dladdr(function, &info) == 0) return nullptr;
    void* const library = ::dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return nullptr;
    return reinterpret_cast<SetThreads>(::dlsym(library, "omp_set_num_threads"));
  }();
  thread_local bool is_set = false;
  if (is_set || set_threads == nullptr) return;
  set_threads(1);
  is_set = true;
}

}  // namespace subquad
