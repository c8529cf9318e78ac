/* SPDX-License-Identifier: MIT */
/* give-back.h - memory that only a process's start has needed */
#ifndef BASE_GIVE_BACK_H
#define BASE_GIVE_BACK_H

/** give_back_memory() - of the heap what is free, of program and libraries what
 * can be read again from their files: for a process of which there are many,
 * when it has become what it is going to be */
void give_back_memory(void);

#endif /* BASE_GIVE_BACK_H */
