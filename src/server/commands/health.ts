import { EXIT, operatorFault } from "../../exit.ts";
import { localUrl, withConfigFile } from "../config.ts";
import type { Environment } from "../settings.ts";

const TIMEOUT_MS = 3000;

/**
 * `blindvault health`: asks the server of this machine, for a container's HEALTHCHECK. Ends with 0 when it answers
 * and with 69 (EX_UNAVAILABLE) when it does not; `--ready` asks whether it takes work.
 */
export async function health(
  environment: Environment,
  options: { config?: string; url?: string; ready?: boolean },
): Promise<string> {
  const base =
    options.url === undefined ? localUrl(withConfigFile(environment, options.config)) : httpUrl(options.url);
  const url = new URL(options.ready ? "/ready" : "/health", base);
  const answer = await ask(url).catch((error) => {
    throw operatorFault(
      EXIT.unavailable,
      `${url} does not answer (${(error as NodeJS.ErrnoException).code ?? (error as Error).name})`,
    );
  });
  if (!answer.ok) throw operatorFault(EXIT.unavailable, `${url} answers ${answer.status}`);
  return `${url} answers ${answer.status}`;
}

function httpUrl(text: string): URL {
  if (URL.canParse(text) && /^https?:/i.test(text)) return new URL(text);
  throw operatorFault(EXIT.usage, "--url must be an address such as http://127.0.0.1:4000");
}

function ask(url: URL): Promise<Response> {
  return fetch(url, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
    redirect: "error",
    // The certificate is for the public name; here only life is asked for, and nothing secret is sent.
    tls: { rejectUnauthorized: false },
  });
}
