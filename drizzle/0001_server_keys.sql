-- Ciphertext does not compress: EXTERNAL spares PostgreSQL the attempt on every write.
ALTER TABLE "entries" ALTER COLUMN "ciphertext" SET STORAGE EXTERNAL;--> statement-breakpoint
-- The decoys of POST /auth/prelogin come from this key. It lives with the data, so that they survive a rotated
-- secret and are the same on every server; gen_random_uuid() draws 122 bits each from the strong generator.
INSERT INTO "server_keys" ("name", "key")
VALUES ('prelogin-decoy', sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));
