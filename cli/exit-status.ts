/** 0: fine. 1: the input is wrong, or the launch failed. 2: wrong usage. */
export type ExitStatus = 0 | 1 | 2;
