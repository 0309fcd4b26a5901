/** Runs the latest job of each key after a pause in the typing; an earlier one that has not run is dropped. */
export interface Scheduler {
  schedule(key: string): void;
  cancel(key: string): void;
  dispose(): void;
}

/** `failed` gets what `run` throws: an exception in a timer would end the process. */
export function createScheduler(
  delay: number,
  run: (key: string) => void,
  failed: (error: unknown) => void,
): Scheduler {
  const timers = new Map<string, NodeJS.Timeout>();
  const cancel = (key: string): void => {
    clearTimeout(timers.get(key));
    timers.delete(key);
  };
  return {
    cancel,
    schedule(key) {
      cancel(key);
      timers.set(
        key,
        setTimeout(() => {
          timers.delete(key);
          try {
            run(key);
          } catch (error) {
            failed(error);
          }
        }, delay),
      );
    },
    dispose() {
      for (const key of [...timers.keys()]) cancel(key);
    },
  };
}
