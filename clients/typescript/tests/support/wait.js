// Waiting for what a subscription tells. Nothing here measures time; a test that never ends is ended by the runner.

/** All states so far, and a way to wait for one. */
export function states(subscription) {
  const seen = [subscription.state];
  let changed = () => {};
  subscription.on("state", (state) => {
    seen.push(state);
    changed();
  });
  const until = async (...statuses) => {
    for (let at = 0; ; at++) {
      while (at >= seen.length) await new Promise((resolve) => (changed = resolve));
      if (statuses.includes(seen[at].status)) {
        const [found] = seen.splice(0, at + 1).slice(-1);
        return found;
      }
    }
  };
  return { seen, until };
}

/** What a subscription delivers, and a way to wait for so many. */
export function collect(subscription, type = "*") {
  const seen = [];
  let changed = () => {};
  subscription.on(type, (told) => {
    seen.push(told);
    changed();
  });
  const count = async (count) => {
    while (seen.length < count) await new Promise((resolve) => (changed = resolve));
    return seen;
  };
  return { seen, count };
}

export const datas = (events) => events.map(({ data }) => data);
