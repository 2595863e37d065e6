// Sets the chosen theme before the first paint; app.js has the button.
"use strict";
try {
  const theme = localStorage.getItem("rackwatt-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch { /* storage is denied: the system's choice stays */ }
