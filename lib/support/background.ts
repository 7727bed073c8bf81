/** Work that goes on beside the caller, one piece at a time. */

/** One piece of work at a time in the background. */
export interface Background {
  /** Whether a piece of work has failed and nobody was told: the next `settle` throws its error. */
  readonly hasFailed: boolean;
  /** Whether a piece of work is under way. */
  readonly isBusy: boolean;
  /**
   * Starts a piece of work behind the one before it, and returns when that one has ended: whoever is faster than the work
   * waits here.
   *
   * @throws the error of the piece before; this one is not started then
   */
  start(work: () => Promise<void>): Promise<void>;
  /** Waits for what is under way, so many milliseconds at most. An error stays for `settle`. */
  giveTime(milliseconds: number): Promise<void>;
  /** Waits until nothing is under way. @throws the error of what failed, once */
  settle(): Promise<void>;
}

/** A background with nothing to do. */
export function createBackground(): Background {
  let running: Promise<void> | undefined;
  let isBusy = false;
  let failure: { error: unknown } | undefined;
  const settle = async () => {
    await running;
    const failed = failure;
    failure = undefined;
    if (failed) throw failed.error;
  };
  return {
    get hasFailed() {
      return failure !== undefined;
    },
    get isBusy() {
      return isBusy;
    },
    async giveTime(milliseconds) {
      if (!isBusy) return;
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([running, new Promise((resolve) => timer = setTimeout(resolve, milliseconds))]);
      clearTimeout(timer);
    },
    settle,
    async start(work) {
      await settle();
      isBusy = true;
      running = work().catch((error) => {
        failure = { error };
      }).finally(() => isBusy = false);
    },
  };
}
