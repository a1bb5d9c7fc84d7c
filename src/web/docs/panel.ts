import { encodeHex } from "../../crypto/bytes.ts";
import { deriveKey, openEntry, type SealedEntry, sealEntry } from "./sealing.ts";

const SALT_BYTES = 32;
const EXAMPLE = { name: "Example", username: "alice", password: "not a real one" };

/** Brings the panel of docs.html to life: a key from a passphrase, an entry sealed and opened. Nothing is sent. */
export function startPanel(): void {
  if (!isSecureContext) {
    element("status").textContent = "Browsers have WebCrypto only over HTTPS or on localhost.";
    return;
  }
  let key: Uint8Array | undefined;
  const field = (id: string) => element<HTMLInputElement | HTMLTextAreaElement>(id);
  field("salt").value = encodeHex(crypto.getRandomValues(new Uint8Array(SALT_BYTES)));
  field("plaintext").value = JSON.stringify(EXAMPLE, null, 2);

  const enable = (enabled: boolean) => {
    for (const button of document.querySelectorAll<HTMLButtonElement>(
      "#encrypt button[name], #decrypt button",
    ))
      button.disabled = !enabled;
  };

  element("derive").addEventListener("input", () => {
    key = undefined;
    enable(false);
  });

  onSubmit("derive", async () => {
    key = await deriveKey(field("passphrase").value, field("salt").value.trim());
    enable(true);
    return "The key is derived.";
  });

  onSubmit("encrypt", async (method) => {
    field("body").value = "";
    if (key === undefined) return "Derive the key first.";
    const id = method === "POST" ? crypto.randomUUID() : field("entry-id").value.trim();
    if (id === "") return "Say which entry is to be replaced.";
    const sealed = await sealEntry(key, id, field("plaintext").value);
    field("entry-id").value = id;
    field("body").value = JSON.stringify(method === "POST" ? { id, ...sealed } : sealed, null, 2);
    element<HTMLButtonElement>("copy").disabled = false;
    return method === "POST" ? "Ready for POST /entries." : `Ready for PUT /entries/${id}.`;
  });

  onSubmit("decrypt", async () => {
    // What was opened before must not look like what this entry holds.
    field("opened").value = "";
    if (key === undefined) return "Derive the key first.";
    const entry = JSON.parse(field("stored").value) as SealedEntry & { id: string };
    field("opened").value = await openEntry(key, String(entry.id), entry);
    return "Decrypted: nobody has changed it.";
  });

  element("copy").addEventListener("click", () => {
    const body = element<HTMLTextAreaElement>("body");
    body.select();
    void navigator.clipboard?.writeText(body.value);
  });
}

/** Runs `work` with the value of the button that was pressed, and shows what it says, or why it failed. */
function onSubmit(form: string, work: (pressed: string) => Promise<string>): void {
  element(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    const { submitter } = event as SubmitEvent;
    const status = element("status");
    status.textContent = "…";
    try {
      status.textContent = await work((submitter as HTMLButtonElement | null)?.value ?? "");
    } catch (error) {
      status.textContent = (error as Error).message;
    }
  });
}

function element<Type extends HTMLElement>(id: string): Type {
  return document.getElementById(id) as Type;
}
