/** What `work` gives, or the error of `late` when that takes longer than `limit_ms`; the work itself is not undone. */
export async function withinTime<Result>(
  work: Promise<Result>,
  limit_ms: number,
  late: () => Error,
): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limit_ms);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
