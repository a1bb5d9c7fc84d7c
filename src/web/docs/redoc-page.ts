Redoc.init(
  "/openapi.json",
  {
    // Search would need a worker made of a blob, which the page's policy does not allow.
    disableSearch: true,
    expandResponses: "200,201,204",
    sortRequiredPropsFirst: true,
    theme: {
      colors: { primary: { main: "#1f4e5f" } },
      typography: {
        fontFamily: "system-ui, sans-serif",
        headings: { fontFamily: "system-ui, sans-serif" },
        code: { fontFamily: "ui-monospace, monospace" },
      },
      rightPanel: { backgroundColor: "#1d2b31" },
    },
  },
  document.getElementById("redoc"),
);
