CREATE TABLE "account_tombstones" (
	"user_id" uuid PRIMARY KEY NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"type" text NOT NULL,
	"success" boolean NOT NULL,
	"reason" text,
	"user_id" uuid,
	"session_id" uuid,
	"entry_id" uuid,
	"name_hash" "bytea",
	"address" text NOT NULL,
	"request_id" text NOT NULL,
	"count" integer NOT NULL,
	CONSTRAINT "audit_events_type_form" CHECK ("audit_events"."type" ~ '^[a-z-]{3,40}$'),
	CONSTRAINT "audit_events_name_hash_length" CHECK (octet_length("audit_events"."name_hash") = 32),
	CONSTRAINT "audit_events_count" CHECK ("audit_events"."count" >= 1)
);
--> statement-breakpoint
CREATE TABLE "entries" (
	"user_id" uuid NOT NULL,
	"id" uuid NOT NULL,
	"name" text,
	"ciphertext" "bytea" NOT NULL,
	"iv" "bytea" NOT NULL,
	"tag" "bytea" NOT NULL,
	"meta" text,
	"version" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "entries_user_id_id_pk" PRIMARY KEY("user_id","id"),
	CONSTRAINT "entries_ciphertext_length" CHECK (octet_length("entries"."ciphertext") between 1 and 65536),
	CONSTRAINT "entries_iv_length" CHECK (octet_length("entries"."iv") = 12),
	CONSTRAINT "entries_tag_length" CHECK (octet_length("entries"."tag") = 16),
	CONSTRAINT "entries_name_length" CHECK (char_length("entries"."name") between 0 and 256),
	CONSTRAINT "entries_meta_form" CHECK (json_typeof("entries"."meta"::json) = 'object' and octet_length("entries"."meta") <= 4096),
	CONSTRAINT "entries_version" CHECK ("entries"."version" >= 1)
);
--> statement-breakpoint
CREATE TABLE "entry_tombstones" (
	"user_id" uuid NOT NULL,
	"entry_id" uuid NOT NULL,
	"deleted_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "entry_tombstones_user_id_entry_id_pk" PRIMARY KEY("user_id","entry_id")
);
--> statement-breakpoint
CREATE TABLE "entry_usage" (
	"user_id" uuid PRIMARY KEY NOT NULL,
	"entries" integer NOT NULL,
	"tombstones" integer NOT NULL,
	CONSTRAINT "entry_usage_counts" CHECK ("entry_usage"."entries" >= 0 and "entry_usage"."tombstones" >= 0)
);
--> statement-breakpoint
CREATE TABLE "lockouts" (
	"name_hash" "bytea" NOT NULL,
	"address" text NOT NULL,
	"attempts" integer NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "lockouts_name_hash_address_pk" PRIMARY KEY("name_hash","address"),
	CONSTRAINT "lockouts_hash_length" CHECK (octet_length("lockouts"."name_hash") = 32),
	CONSTRAINT "lockouts_attempts" CHECK ("lockouts"."attempts" >= 0)
);
--> statement-breakpoint
CREATE TABLE "refresh_tokens" (
	"token_hash" "bytea" PRIMARY KEY NOT NULL,
	"session_id" uuid NOT NULL,
	"used_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "refresh_tokens_hash_length" CHECK (octet_length("refresh_tokens"."token_hash") = 32)
);
--> statement-breakpoint
CREATE TABLE "server_keys" (
	"name" text PRIMARY KEY NOT NULL,
	"key" "bytea" NOT NULL,
	CONSTRAINT "server_keys_key_length" CHECK (octet_length("server_keys"."key") = 32)
);
--> statement-breakpoint
CREATE TABLE "sessions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"user_id" uuid NOT NULL,
	"device_name" text,
	"address" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"last_used_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "sessions_device_name_length" CHECK (char_length("sessions"."device_name") between 1 and 64)
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" uuid PRIMARY KEY NOT NULL,
	"username" text NOT NULL,
	"credential_kind" text NOT NULL,
	"credential_hash" text NOT NULL,
	"encryption_salt" "bytea" NOT NULL,
	"kdf_memory_kib" integer NOT NULL,
	"kdf_iterations" integer NOT NULL,
	"kdf_parallelism" integer NOT NULL,
	"protected_key_ciphertext" "bytea",
	"protected_key_iv" "bytea",
	"protected_key_tag" "bytea",
	"protected_key_commitment" "bytea",
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "users_username_form" CHECK ("users"."username" ~ '^[A-Za-z0-9_]{3,30}$'),
	CONSTRAINT "users_credential_hash_form" CHECK ("users"."credential_hash" like '$argon2id$%'),
	CONSTRAINT "users_credential_kind" CHECK ("users"."credential_kind" in ('password', 'auth_key')),
	CONSTRAINT "users_encryption_salt_length" CHECK (octet_length("users"."encryption_salt") = 32),
	CONSTRAINT "users_kdf_bounds" CHECK ("users"."kdf_memory_kib" between 19456 and 1048576
        and "users"."kdf_iterations" between 2 and 10
        and "users"."kdf_parallelism" between 1 and 16),
	CONSTRAINT "users_protected_key_whole" CHECK (case "users"."credential_kind"
        when 'password' then num_nonnulls("users"."protected_key_ciphertext", "users"."protected_key_iv",
          "users"."protected_key_tag", "users"."protected_key_commitment") = 0
        else num_nulls("users"."protected_key_ciphertext", "users"."protected_key_iv",
          "users"."protected_key_tag", "users"."protected_key_commitment") = 0 end),
	CONSTRAINT "users_protected_key_ciphertext_length" CHECK (octet_length("users"."protected_key_ciphertext") = 32),
	CONSTRAINT "users_protected_key_iv_length" CHECK (octet_length("users"."protected_key_iv") = 12),
	CONSTRAINT "users_protected_key_tag_length" CHECK (octet_length("users"."protected_key_tag") = 16),
	CONSTRAINT "users_protected_key_commitment_length" CHECK (octet_length("users"."protected_key_commitment") = 32)
);
--> statement-breakpoint
ALTER TABLE "entries" ADD CONSTRAINT "entries_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "entry_tombstones" ADD CONSTRAINT "entry_tombstones_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "entry_usage" ADD CONSTRAINT "entry_usage_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "refresh_tokens" ADD CONSTRAINT "refresh_tokens_session_id_sessions_id_fk" FOREIGN KEY ("session_id") REFERENCES "public"."sessions"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sessions" ADD CONSTRAINT "sessions_user_id_users_id_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_events_user" ON "audit_events" USING btree ("user_id","id");--> statement-breakpoint
CREATE INDEX "entries_user_created" ON "entries" USING btree ("user_id","created_at","id");--> statement-breakpoint
CREATE INDEX "lockouts_expires" ON "lockouts" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "refresh_tokens_session" ON "refresh_tokens" USING btree ("session_id");--> statement-breakpoint
CREATE INDEX "refresh_tokens_expires" ON "refresh_tokens" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "sessions_user_last_used" ON "sessions" USING btree ("user_id","last_used_at");--> statement-breakpoint
CREATE INDEX "sessions_expires" ON "sessions" USING btree ("expires_at");--> statement-breakpoint
CREATE UNIQUE INDEX "users_username_unique" ON "users" USING btree (lower("username" collate "C"));