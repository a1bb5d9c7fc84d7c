import { openForDevice, type SealedText, sealForDevice } from "../crypto/envelope.ts";
import { failure } from "./errors.ts";

type DeviceAccount = { server: string; account_id: string };

/** The vault key as a device may keep it: sealed with a session key that is kept elsewhere. */
export async function sealDeviceKey(
  vault_key: Uint8Array,
  session_key: Uint8Array,
  account: DeviceAccount,
): Promise<string> {
  return JSON.stringify(await sealForDevice(session_key, vault_key, { purpose: "device-key", ...account }));
}

/** The inverse. Throws `session-key-wrong` for whatever does not open. */
export async function openDeviceKey(
  device: { sealed_key: string; session_key: Uint8Array },
  account: DeviceAccount,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const sealed: SealedText = JSON.parse(device.sealed_key);
    return await openForDevice(device.session_key, sealed, { purpose: "device-key", ...account });
  } catch {
    throw failure("session-key-wrong");
  }
}
