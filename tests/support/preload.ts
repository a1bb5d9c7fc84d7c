import { afterAll } from "bun:test";
import { removeTemporaryDirectories } from "./server.ts";

afterAll(removeTemporaryDirectories);
