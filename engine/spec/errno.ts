/** The errno values that KVM and the ccp driver return. Linux include/uapi/asm-generic/errno-base.h and errno.h. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  ENOTTY: 25,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
} as const;

export type ErrnoName = keyof typeof ERRNO;

/** A FaultCode for a system call that fails with this errno. */
export function errno(name: ErrnoName): { readonly kind: 'errno'; readonly name: ErrnoName; readonly value: number } {
  return { kind: 'errno', name, value: -ERRNO[name] };
}

export function errnoName(value: number): ErrnoName | undefined {
  const positive = Math.abs(value);
  return (Object.keys(ERRNO) as ErrnoName[]).find((name) => ERRNO[name] === positive);
}
