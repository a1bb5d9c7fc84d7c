const FOREIGN_LOGO = 'src:"https://cdn.redoc.ly/redoc/logo-mini.svg"';

/** ReDoc without the image in its last line, which comes from another host; the line and its link stay. */
export function withoutForeignLogo(redoc: string): string {
  const parts = redoc.split(FOREIGN_LOGO);
  if (parts.length !== 2)
    throw new Error("ReDoc has changed where its logo comes from: see what it loads now");
  return parts.join("hidden:!0");
}
