import postgres from "postgres";

/**
 * The floor of `GET /entries/{id}`: Bun.serve and postgres.js with the same select and the same answer, and nothing else.
 * Run as a process of its own: `bun tests/bench/bare.ts <database url> <user id>`; prints its port.
 */
const [, , url = "", user_id = ""] = process.argv;
const sql = postgres(url, { max: 4 });
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const id = request.url.slice(request.url.lastIndexOf("/") + 1);
    const [entry] = await sql`
      select id, name, ciphertext, iv, tag, meta, version, created_at, updated_at
      from entries where user_id = ${user_id} and id = ${id}`;
    if (entry === undefined) return new Response(null, { status: 404 });
    return Response.json({
      ...entry,
      ciphertext: entry.ciphertext.toString("base64"),
      iv: entry.iv.toString("base64"),
      tag: entry.tag.toString("base64"),
    });
  },
});
console.log(server.port);
