import { fstatSync, fsyncSync } from "node:fs";
import { NodeFS } from "@electric-sql/pglite/nodefs";

// The part of Emscripten's NODEFS that is changed here. It belongs to one engine, not to the process.
type Stream = { nfd: number };
type Attributes = { mode?: number };
type Backend = {
  tryFSOperation(operation: () => void): void;
  stream_ops: { fsync?: (stream: Stream) => void };
  node_ops: {
    mknod(parent: unknown, name: string, mode: number, device: unknown): unknown;
    setattr(node: unknown, attributes: Attributes): void;
  };
};

const GROUP_AND_OTHERS = 0o077;

/** A directory on disk as PGlite's file system, where fsync reaches the disk and files are their owner's alone. */
export class DurableFs extends NodeFS {
  override async init(...[pg, options]: Parameters<NodeFS["init"]>): ReturnType<NodeFS["init"]> {
    const { emscriptenOpts } = await super.init(pg, options);
    const change = (engine: { NODEFS: Backend }) => {
      syncToDisk(engine.NODEFS);
      keepPrivate(engine.NODEFS);
    };
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [...(emscriptenOpts.preRun ?? []), change] } };
  }
}

/**
 * NODEFS has no fsync, and Emscripten's fd_sync takes a missing one for success: PostgreSQL would believe that
 * its log is on disk. A failure goes back as an errno, and PostgreSQL does what it does on every system: panic.
 */
function syncToDisk(backend: Backend): void {
  backend.stream_ops.fsync = (stream) => backend.tryFSOperation(() => syncDescriptor(stream.nfd));
}

function syncDescriptor(descriptor: number): void {
  // Windows refuses directories, which its file system journals.
  if (process.platform === "win32" && fstatSync(descriptor).isDirectory()) return;
  fsyncSync(descriptor);
}

/** Emscripten makes every file 0777 and some stay readable by all, whatever umask PostgreSQL asked for. */
function keepPrivate(backend: Backend): void {
  const { mknod, setattr } = backend.node_ops;
  backend.node_ops.mknod = (parent, name, mode, device) =>
    mknod(parent, name, mode & ~GROUP_AND_OTHERS, device);
  backend.node_ops.setattr = (node, attributes) => {
    const { mode } = attributes;
    setattr(node, mode === undefined ? attributes : { ...attributes, mode: mode & ~GROUP_AND_OTHERS });
  };
}
