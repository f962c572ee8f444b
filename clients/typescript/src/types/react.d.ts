// What `tidings/react` uses of React, so that neither it nor those who use it need a package of types for it.
declare module "react" {
  export function useMemo<Value>(make: () => Value, dependencies: readonly unknown[]): Value;
  export function useSyncExternalStore<Value>(
    subscribe: (changed: () => void) => () => void,
    snapshot: () => Value,
    serverSnapshot: () => Value,
  ): Value;
}
