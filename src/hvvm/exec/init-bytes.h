/* SPDX-License-Identifier: MIT */
/* init-bytes.h - the program made of guest-init.c (embed-init makes the rest)
 */
#ifndef HVVM_EXEC_INIT_BYTES_H
#define HVVM_EXEC_INIT_BYTES_H

#include <stdint.h>

extern const uint8_t init_bytes[];
extern const uint64_t init_bytes_len;

#endif /* HVVM_EXEC_INIT_BYTES_H */
