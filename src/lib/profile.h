/* SPDX-License-Identifier: MIT */
/* profile.h - HVSOCKET_PROFILE, as far as the library judges by it; all else is
 * the broker's */
#ifndef LIB_PROFILE_H
#define LIB_PROFILE_H

#include <stdbool.h>

/** profile_is_windows() - has this program been started to do only what it
 * could do on Windows? A setuid program never is. */
bool profile_is_windows(void);

#endif /* LIB_PROFILE_H */
