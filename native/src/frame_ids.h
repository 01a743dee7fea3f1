// Stage ids of docs/format.md section 2 that the fast path writes and reads.
#pragma once

#include <cstdint>

namespace pennyweight {

inline constexpr uint8_t kStoreId = 0;
inline constexpr uint8_t kFloatFieldsId = 3;
inline constexpr uint8_t kRansId = 4;
inline constexpr uint8_t kBitpackId = 7;

}  // namespace pennyweight
