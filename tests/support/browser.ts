import { type Browser, chromium, type Page } from "playwright-core";

/** Where the machine has a Chromium; undefined where there is none. */
export const CHROMIUM = ["chromium", "chromium-browser", "google-chrome"]
  .map((name) => Bun.which(name))
  .find(Boolean);

/** A browser with a new profile, in which nothing of its own goes to the network. */
export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM as string,
    args: [
      // Tests may run as root, where Chromium has no sandbox.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export type WatchedPage = {
  page: Page;
  /** Addresses of all that the page has asked for, over the network. */
  requests: string[];
  /** What it complained of: errors, refused styles and scripts, requests that left the server's origin. */
  complaints: string[];
};

/** A page of its own, every request, error and broken rule of its policy noted. */
export async function openPage(browser: Browser, origin: string): Promise<WatchedPage> {
  const page = await (await browser.newContext()).newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => {
    if (request.url().startsWith("data:")) return;
    requests.push(request.url());
    if (new URL(request.url()).origin !== origin) complaints.push(`asked ${request.url()}`);
  });
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.exposeFunction("complain", (complaint: string) => complaints.push(complaint));
  await page.addInitScript(() => {
    const { complain } = window as unknown as { complain(text: string): void };
    document.addEventListener("securitypolicyviolation", (event) =>
      complain(`${event.effectiveDirective} forbids ${event.blockedURI}`),
    );
  });
  return { page, requests, complaints };
}
