/**
 * Imported first: libraries read NODE_ENV while they are loaded, and what they do for a developer (errors that quote
 * input, stacks in answers) has no place in a server of secrets. A compiled binary has none set.
 */
/** As it was given. Asked for by its own name, the bundler would write the value of the build in its place. */
export const NODE_ENV_GIVEN = { ...process.env }.NODE_ENV;

Object.assign(process.env, { NODE_ENV: "production" });
