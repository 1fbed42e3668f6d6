#include "kernels/amx.h"

#include <cerrno>
#include <cstring>

#include "kernels/amx-inl.h"

#if SUBQUAD_HAS_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace subquad {
namespace {

std::string find_refusal() {
#if SUBQUAD_HAS_AMX
  constexpr unsigned kBf16Bit = 22, kTileBit = 24;  // of edx, leaf 7 of CPUID
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx >> kBf16Bit & 1) == 0 ||
      (edx >> kTileBit & 1) == 0) {
    return "this processor has no AMX tiles for bf16";
  }
  // Tiles are 8 KiB of state per thread, which Linux saves only for processes that asked for it.
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) {
    return std::string("the operating system denies AMX tiles: ") + std::strerror(errno);
  }
  return {};
#else
  return "this build is for a processor without AVX-512 BF16 and AMX (x86-64 Linux only)";
#endif
}

}  // namespace

const std::string& amx_refusal() {
  static const std::string refusal = find_refusal();
  return refusal;
}

}  // namespace subquad
