/**
 * Who is calling, as one canonical text an address. The socket's address counts; X-Forwarded-For only where a
 * trusted proxy wrote it, which is from the right and up to the first address that is not trusted. Whatever
 * stands further left was sent by the client and is never looked at.
 */
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Block = readonly [network: Address, prefix_bits: number];

export type TrustedProxies = readonly Block[];

/** RFC 4291, section 2.5.2: "the absence of an address", e.g. of a Unix socket. All such callers are one. */
const UNSPECIFIED = ipaddr.IPv6.parse("::");
/** RFC 6052, section 2.1: a translator puts the IPv4 address of the client into the last 32 bits. */
const NAT64 = ipaddr.IPv6.parse("64:ff9b::");
const NAT64_PREFIX_BITS = 96;
const NETWORK_PREFIX_PARTS = 4;

/** More proxies in a row than anybody runs; bounds the work for a header of nothing but trusted addresses. */
const HOPS_MAX = 16;
/** A bracketed IPv6 address with a zone, a port and some white space. */
const HOP_CHARACTERS_MAX = 100;

/**
 * The caller's address in canonical text (RFC 5952; an IPv4-mapped IPv6 address as IPv4). A malformed entry of
 * X-Forwarded-For ends the walk at the last good hop: a key that a stranger made up never comes out. The text is
 * printed from the address's numbers; a slice of the header would keep all of it alive as long as the key.
 */
export function clientAddress(
  socket_address: string,
  forwarded_for: string | null,
  trusted: TrustedProxies,
): string {
  if (trusted.length === 0 || forwarded_for === null) return canonical(socket_address);
  let client = parseAddress(socket_address) ?? UNSPECIFIED;
  let end = forwarded_for.length;
  for (let hops = 0; hops < HOPS_MAX && end >= 0 && isTrusted(client, trusted); hops++) {
    const start = forwarded_for.lastIndexOf(",", end - 1) + 1;
    const hop = end - start <= HOP_CHARACTERS_MAX ? parseHop(forwarded_for.slice(start, end)) : undefined;
    if (hop === undefined) break;
    client = hop;
    end = start - 1;
  }
  return client.toString();
}

/**
 * What the limiter and the lockout count by: an IPv4 address, or the /64 of an IPv6 address, which is what one
 * subscriber has at least. NAT64's well-known prefix counts as the IPv4 address within, because behind such a
 * translator the whole of IPv4 would share one /64; only the key is translated, never the address that is
 * compared with the trusted proxies. 6to4 (RFC 7526: deprecated) stays a /64: its relays are anybody's, and
 * such a relay could otherwise spend what belongs to somebody else's IPv4 address.
 */
export function networkOf(address: string): string {
  return remembered(networks, address, () => {
    const parsed = parseAddress(address) ?? UNSPECIFIED;
    if (parsed instanceof ipaddr.IPv4) return parsed.toString();
    if (parsed.match(NAT64, NAT64_PREFIX_BITS))
      return new ipaddr.IPv4(parsed.toByteArray().slice(12)).toString();
    const network = parsed.parts.map((part, index) => (index < NETWORK_PREFIX_PARTS ? part : 0));
    return `${new ipaddr.IPv6(network)}/64`;
  });
}

function canonical(text: string): string {
  return remembered(addresses, text, () => (parseAddress(text) ?? UNSPECIFIED).toString());
}

/** Parsing costs 1 to 5 microseconds twice a request; a connection's address comes again and again. */
const REMEMBERED_MAX = 1024;
const addresses = new Map<string, string>();
const networks = new Map<string, string>();

function remembered(memory: Map<string, string>, text: string, make: () => string): string {
  const known = memory.get(text);
  if (known !== undefined) return known;
  const made = make();
  if (memory.size >= REMEMBERED_MAX) memory.clear();
  memory.set(text, made);
  return made;
}

function isTrusted(address: Address, trusted: TrustedProxies): boolean {
  return trusted.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits));
}

/** One entry of X-Forwarded-For: an address, perhaps with a port; with one, IPv6 stands in brackets. */
function parseHop(entry: string): Address | undefined {
  const text = entry.trim();
  const [, bracketed] = /^\[([^\]]*)\](?::[0-9]{1,5})?$/.exec(text) ?? [];
  if (bracketed !== undefined) return bracketed.includes(":") ? parseAddress(bracketed) : undefined;
  const [, dotted] = /^([0-9.]+):[0-9]{1,5}$/.exec(text) ?? [];
  return parseAddress(dotted ?? text);
}

/**
 * Strict where ipaddr.js is generous: it reads 010.0.0.1 as octal, 0x7f.1 and 1 as IPv4 addresses and
 * ::1.2.3.4 as ::ffff:1.2.3.4. A zone is dropped: it means something on one host only (RFC 4007, section 6).
 */
function parseAddress(text: string): Address | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  const [, address] = /^([0-9A-Fa-f:.]{2,45})(?:%[0-9A-Za-z._~-]{1,32})?$/.exec(text) ?? [];
  const groups = address?.includes(":") ? withoutDots(address) : undefined;
  return groups !== undefined && ipaddr.IPv6.isValid(groups) ? ipaddr.process(groups) : undefined;
}

/** RFC 4291, section 2.2, form 3: the last 32 bits in decimal. Gives them in hexadecimal, like all others. */
function withoutDots(address: string): string | undefined {
  if (!address.includes(".")) return address;
  const cut = address.lastIndexOf(":") + 1;
  const tail = address.slice(cut);
  if (!ipaddr.IPv4.isValidFourPartDecimal(tail)) return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(tail).octets;
  return `${address.slice(0, cut)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/**
 * Reads TRUSTED_PROXIES: addresses and CIDR blocks between commas or white space, "" for none. The fault names
 * the entry. A block of everything is refused: then every client could write its own address.
 */
export function parseTrustedProxies(list: string): TrustedProxies | { fault: string } {
  const blocks: Block[] = [];
  for (const entry of list.split(/[\s,]+/)) {
    if (entry === "") continue;
    const block = parseBlock(entry);
    if (typeof block === "string") return { fault: `"${entry}" ${block}` };
    blocks.push(block);
  }
  return blocks;
}

function parseBlock(entry: string): Block | string {
  const [text = "", prefix, ...rest] = entry.split("/");
  const address = entry.includes("%") || rest.length > 0 ? undefined : parseAddress(text);
  if (address === undefined) return "is neither an address nor a CIDR block";

  const bits_max = address.kind() === "ipv4" ? 32 : 128;
  if (prefix === undefined) return [address, bits_max];
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(prefix) ? Number(prefix) - mappedBits(text, address) : -1;
  if (bits < 0 || bits > bits_max) return "has no prefix length that fits its address";
  if (bits === 0) return "would trust every address";

  const network = networkAddress(address, bits);
  if (network !== address.toString()) return `has bits set beyond its prefix; its block starts at ${network}`;
  return [address, bits];
}

/** The bits of ::ffff:0:0/96 that fall away where an IPv4-mapped address became an IPv4 address. */
function mappedBits(text: string, address: Address): number {
  return address.kind() === "ipv4" && text.includes(":") ? 96 : 0;
}

function networkAddress(address: Address, bits: number): string {
  const family = address instanceof ipaddr.IPv4 ? ipaddr.IPv4 : ipaddr.IPv6;
  return family.networkAddressFromCIDR(`${address}/${bits}`).toString();
}
