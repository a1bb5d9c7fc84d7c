/** Exit codes of the binary, after sysexits(3). */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 64,
  data: 65,
  unavailable: 69,
  software: 70,
  cannot_create: 73,
  temporary: 75,
  config: 78,
} as const;

/** A fault that an operator can mend: one clear message for a person, and the exit code for a script. */
export type OperatorFault = Error & { exit_code: number };

/** Makes the error that ends a command with `exit_code` after printing `message` alone, without a stack. */
export function operatorFault(exit_code: number, message: string): OperatorFault {
  return Object.assign(new Error(message), { exit_code });
}

export function isOperatorFault(error: unknown): error is OperatorFault {
  return error instanceof Error && "exit_code" in error;
}
