import { describe, expect, test } from "bun:test";
import { isIP, isIPv4 } from "node:net";
import fc from "fast-check";
import {
  clientAddress,
  networkOf,
  parseTrustedProxies,
  type TrustedProxies,
} from "../../src/server/http/client-address.ts";

const RUNS = process.env.SLOW ? 50_000 : 1000;
const NONE = trusting("");
const PROXIES = trusting("10.0.0.0/8, 192.0.2.7 fd00::/8");
/** What comes out for what is no address; no client has it. */
const NOBODY = "::";

function trusting(list: string): TrustedProxies {
  const proxies = parseTrustedProxies(list);
  if ("fault" in proxies) throw new Error(proxies.fault);
  return proxies;
}

const words = (list: string) => list.split(" ");
const socket = (address: string) => clientAddress(address, null, NONE);
const behind = (forwarded_for: string) => clientAddress("10.0.0.1", forwarded_for, PROXIES);

describe("the socket's address", () => {
  test.each([
    ["203.0.113.9", "203.0.113.9"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::ffff:203.0.113.9", "203.0.113.9"],
    ["::FFFF:cb00:7109", "203.0.113.9"],
    ["0:0:0:0:0:ffff:203.0.113.9", "203.0.113.9"],
    ["::ffff:203.0.113.9%eth0", "203.0.113.9"],
    ["::1", "::1"],
    ["0000:0000:0000:0000:0000:0000:0000:0001", "::1"],
    ["2001:DB8:0:0:0:0:0:A", "2001:db8::a"],
    ["2001:db8::0:a", "2001:db8::a"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["fe80::1%eth0.100", "fe80::1"],
    ["fe80::1%25en0", "fe80::1"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ["2002:cb00:7109::1", "2002:cb00:7109::1"],
  ])("%s is %s", (text, canonical) => {
    expect(socket(text)).toBe(canonical);
    expect(clientAddress(text, null, PROXIES)).toBe(canonical);
    expect(clientAddress(text, "", PROXIES)).toBe(canonical);
  });

  test.each([
    ...words(
      "unknown localhost 1 2130706433 1.2 1.2.3 1.2.3.4.5 1.2.3.256 1.2.3.-4 1..2.3 1.2.3.4/32 1.2.3.4%eth0",
    ),
    ...words(
      "0x7f.1 0x7f.0.0.1 010.0.0.1 127.0.0.01 ::ffff:1.2.3.04 ::ffff:0x1.2.3.4 ::ffff:1.2.3 ::ffff:1.2.3.256",
    ),
    ...words("１.2.3.4 1．2．3．4 ١.2.3.4 ::1%é : ::: 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1::2::3 12345:: ::g"),
    ...words("1.2.3.4:5:6 1.2.3.4:: [::1] 1:2:3:4:5:6:7:8% fe80::1%eth0%eth1"),
    ...["", " ", " 1.2.3.4", "1.2.3.4\n", "::1\0", "0:".repeat(1000), "1".repeat(100_000)],
  ])("that is none (%j) is nobody's", (text) => {
    expect(socket(text)).toBe(NOBODY);
    expect(clientAddress(text, "203.0.113.9", PROXIES)).toBe(NOBODY);
  });

  test("reads ::1.2.3.4 as the IPv6 address it is, not as 1.2.3.4", () => {
    expect(socket("::1.2.3.4")).toBe("::102:304");
    expect(networkOf(socket("::1.2.3.4"))).toBe("::/64");
  });

  test("is one text for every spelling, the one of RFC 5952", () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    const groups = fc.tuple(group, group, group, group, group, group, group, group);
    fc.assert(
      fc.property(groups, fc.boolean(), fc.boolean(), (parts, upper, padded) => {
        const spelled = parts.map((part) => part.toString(16).padStart(padded ? 4 : 1, "0")).join(":");
        const canonical = socket(upper ? spelled.toUpperCase() : spelled);
        expect(socket(canonical)).toBe(canonical);
        const mapped = parts.slice(0, 6).join() === "0,0,0,0,0,65535";
        if (!mapped) expect(`[${canonical}]`).toBe(new URL(`http://[${spelled}]`).hostname);
      }),
      { numRuns: RUNS },
    );
  });

  test("is taken exactly where the platform's own parser takes it", () => {
    const piece = fc.constantFrom(
      "0",
      "1",
      "7f",
      "255",
      "256",
      "01",
      "ffff",
      ".",
      ".",
      ":",
      ":",
      "::",
      "g",
      " ",
    );
    const pieces = fc.array(piece, { maxLength: 16 }).map((list) => list.join(""));
    const zone = fc.constantFrom("", "", "%eth0", "%");
    fc.assert(
      fc.property(fc.oneof(pieces, fc.ipV4(), fc.ipV6()), zone, (bare, suffix) => {
        const candidate = bare + suffix;
        const result = socket(candidate);
        if (isIP(candidate) === 0) expect(result).toBe(NOBODY);
        else if (isIPv4(candidate)) expect(result).toBe(candidate);
        else expect(result === NOBODY).toBe(/^[0:.]+$/.test(bare));
      }),
      { numRuns: RUNS },
    );
  });

  test("is the same after thousands of others", () => {
    for (let index = 0; index < 5000; index++) socket(`2001:DB8::${index.toString(16)}`);
    expect(socket("2001:DB8::1")).toBe("2001:db8::1");
    expect(socket("2001:DB8::1387")).toBe("2001:db8::1387");
  });

  test("is remembered for a bounded number only", () => {
    Bun.gc(true);
    const before_bytes = process.memoryUsage().heapUsed;
    for (let index = 0; index < 200_000; index++) {
      networkOf(socket(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`));
    }
    Bun.gc(true);
    expect(process.memoryUsage().heapUsed - before_bytes).toBeLessThan(4 * 1024 * 1024);
  });
});

describe("X-Forwarded-For", () => {
  test("counts for nothing without trusted proxies", () => {
    expect(clientAddress("203.0.113.9", "198.51.100.1", NONE)).toBe("203.0.113.9");
    expect(clientAddress("127.0.0.1", "198.51.100.1", NONE)).toBe("127.0.0.1");
  });

  test("counts for nothing from a socket that is not trusted", () => {
    expect(clientAddress("203.0.113.9", "198.51.100.1", PROXIES)).toBe("203.0.113.9");
    expect(clientAddress("192.0.2.8", "198.51.100.1", PROXIES)).toBe("192.0.2.8");
    expect(clientAddress("fc00::1", "198.51.100.1", PROXIES)).toBe("fc00::1");
  });

  test.each(["10.0.0.1", "10.255.255.255", "192.0.2.7", "fd12:3456::1", "::ffff:10.1.2.3", "fd00::1%eth0"])(
    "is read from the trusted socket %s",
    (address) => {
      expect(clientAddress(address, "198.51.100.1", PROXIES)).toBe("198.51.100.1");
    },
  );

  test("is read from the right, and what the client wrote itself never counts", () => {
    expect(behind("1.1.1.1, 198.51.100.1")).toBe("198.51.100.1");
    expect(behind("127.0.0.1, 10.0.0.5, 198.51.100.1, 10.0.0.2")).toBe("198.51.100.1");
    expect(behind("garbage, 198.51.100.1, 192.0.2.7,fd00::2")).toBe("198.51.100.1");
  });

  test("of trusted addresses only gives the leftmost", () => {
    expect(behind("10.0.0.9, 10.0.0.8, fd00::2")).toBe("10.0.0.9");
    expect(behind("10.0.0.99")).toBe("10.0.0.99");
  });

  test.each([
    ...words(
      'unknown _hidden for=1.2.3.4 0x7f.1 010.0.0.1 8 １.2.3.4 ::ffff:010.0.0.1 1.2.3.4;5.6.7.8 "1.2.3.4"',
    ),
    ...words("1.2.3.4: 1.2.3.4:x 1.2.3.4:123456 [1.2.3.4]:5 [::1 ::1] [::1]5 [] []:5 [::1]: [::1]:x"),
    ...["", " ", ",", "1.2.3.4, ", "1.2.3.4,,", "1.2.3.4 5.6.7.8", `1.2.3.4${" ".repeat(10_000)}`],
  ])("with the malformed entry %j stops at the last good hop", (entry) => {
    expect(behind(entry)).toBe("10.0.0.1");
    expect(behind(`198.51.100.1, ${entry}, 10.0.0.3`)).toBe("10.0.0.3");
  });

  test.each([
    ["1.2.3.4:5", "1.2.3.4"],
    ["1.2.3.4:65535", "1.2.3.4"],
    ["[2001:DB8::1]:443", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
    ["2001:db8::1:443", "2001:db8::1:443"],
    ["[fe80::1%eth0]:443", "fe80::1"],
    ["fe80::1%eth0", "fe80::1"],
    ["[::ffff:1.2.3.4]:5", "1.2.3.4"],
    ["\t1.2.3.4 ", "1.2.3.4"],
  ])("reads %s as %s", (entry, address) => {
    expect(behind(entry)).toBe(address);
    expect(behind(`9.9.9.9,${entry},10.0.0.3`)).toBe(address);
  });

  test("is followed for 15, 16 and not for 17 hops", () => {
    const hops = (count: number) => Array.from({ length: count }, (_, index) => `10.1.0.${index}`);
    expect(behind(["1.2.3.4", ...hops(14)].join(", "))).toBe("1.2.3.4");
    expect(behind(["1.2.3.4", ...hops(15)].join(", "))).toBe("1.2.3.4");
    expect(behind(["1.2.3.4", ...hops(16)].join(", "))).toBe("10.1.0.0");
    expect(behind(["1.2.3.4", ...hops(17)].join(", "))).toBe("10.1.0.1");
  });

  test("never lets a stranger choose an address, whatever stands on the left", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), fc.oneof(fc.ipV4(), fc.ipV6()), (forged, client) => {
        const own = socket(client);
        fc.pre(clientAddress(client, "9.9.9.9", PROXIES) === own);
        expect(clientAddress(client, forged, PROXIES)).toBe(own);
        expect(behind(`${forged}, ${client}`)).toBe(own);
        expect(behind(`${forged},${client}, 10.0.0.77`)).toBe(own);
      }),
      { numRuns: RUNS },
    );
  });

  test("always ends in a canonical address, for every header", () => {
    const entry = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.ipV4().map((address) => `10.0.0.1, ${address}:80`),
      fc.string(),
    );
    fc.assert(
      fc.property(
        fc.array(entry).map((entries) => entries.join(",")),
        (header) => {
          const result = behind(header);
          expect(socket(result)).toBe(result);
          expect(isIP(result)).toBeGreaterThan(0);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe("networkOf", () => {
  test.each([
    ["203.0.113.9", "203.0.113.9"],
    ["::ffff:203.0.113.9", "203.0.113.9"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:DB8:0001:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8::/64"],
    ["::1", "::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["64:ff9b::198.51.100.1", "198.51.100.1"],
    ["64:ff9b:0:0:0:1:c633:6401", "64:ff9b::/64"],
    ["64:ff9b:1::198.51.100.1", "64:ff9b:1::/64"],
    ["2002:c633:6401:5::1", "2002:c633:6401:5::/64"],
    ["not an address", "::/64"],
  ])("%s belongs to %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
    expect(networkOf(address)).toBe(network);
  });

  test("is one for all addresses of a /64, and another where one bit of the first 64 differs", () => {
    const half = fc.bigInt(0n, 2n ** 64n - 1n);
    const address = (high: bigint, low: bigint) => {
      const digits = ((high << 64n) | low).toString(16).padStart(32, "0");
      return digits.match(/.{4}/g)?.join(":") ?? "";
    };
    fc.assert(
      fc.property(half, half, half, fc.bigInt(0n, 63n), (high, low, other_low, bit) => {
        // Within ::/64 and 64:ff9b::/64 some addresses are IPv4 addresses; they have their own rows above.
        fc.pre(high !== 0n && high !== 0x64_ff9b_0000_0000n);
        expect(networkOf(address(high, low))).toBe(networkOf(address(high, other_low)));
        expect(networkOf(address(high, low))).not.toBe(networkOf(address(high ^ (1n << bit), low)));
      }),
      { numRuns: RUNS },
    );
  });
});

describe("parseTrustedProxies", () => {
  test.each(["", " ", ",", " , \n,\t"])("reads %j as none", (list) => {
    expect(parseTrustedProxies(list)).toEqual([]);
  });

  test("reads addresses and blocks between commas or white space", () => {
    const texts = trusting("10.0.0.0/8,192.0.2.7  2001:DB8::/32,\n::1, ::ffff:172.16.0.0/108 ::ffff:1.2.3.4");
    expect(texts.map(([network, bits]) => `${network}/${bits}`)).toEqual([
      ...["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128", "172.16.0.0/12", "1.2.3.4/32"],
    ]);
  });

  test.each([
    ...words(
      "10.0.0.1/8 10.0.0.0/7.5 10.0.0.0/33 10.0.0.0/08 10.0.0.0/ 10.0.0.0/-1 10.0.0.0/8/8 /8 10.0.0.0/255.0.0.0",
    ),
    ...words(
      "10/8 10.0.0 010.0.0.1 0x0a.0.0.0/8 １0.0.0.0/8 1.2.3.4:80 ::1/129 2001:db8::1/32 ::/ [::1] fe80::1%eth0",
    ),
    ...words("fe80::%eth0/64 ::ffff:10.0.0.0/8 ::ffff:10.0.0.1/104 proxy.example loopback *"),
    ...words("0.0.0.0/0 ::/0 ::ffff:0.0.0.0/96"),
  ])("refuses %j and names it", (entry) => {
    const result = parseTrustedProxies(`192.0.2.1 ${entry}`);
    expect(result).toHaveProperty("fault", expect.stringContaining(`"${entry}" `));
  });

  test("says where a block with bits beyond its prefix starts", () => {
    expect(parseTrustedProxies("172.16.5.4/12")).toEqual({
      fault: '"172.16.5.4/12" has bits set beyond its prefix; its block starts at 172.16.0.0',
    });
  });

  test("trusts exactly the addresses of the block", () => {
    const trusted = trusting("172.16.0.0/12 2001:db8:8000::/33");
    const isTrusted = (address: string) => clientAddress(address, "9.9.9.9", trusted) === "9.9.9.9";
    const inside = [
      "172.16.0.0",
      "172.31.255.255",
      "2001:db8:8000::",
      "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    const outside = ["172.15.255.255", "172.32.0.0", "2001:db8:7fff:ffff::1", "2001:db9::", "::ac10:0"];
    expect(inside.filter(isTrusted)).toEqual(inside);
    expect(outside.filter(isTrusted)).toEqual([]);
  });

  test("never trusts an IPv4 address that a translator wrapped", () => {
    expect(clientAddress("64:ff9b::10.0.0.1", "9.9.9.9", PROXIES)).toBe("64:ff9b::a00:1");
    expect(clientAddress("2002:a00:1::", "9.9.9.9", PROXIES)).toBe("2002:a00:1::");
  });
});
