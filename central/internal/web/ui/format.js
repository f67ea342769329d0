// How the page formats values. Functions here depend on their arguments alone.
"use strict";

const kW = (w) => (w / 1000).toFixed(1) + " kW";
const kWh = (wh) => (wh / 1000).toFixed(3) + " kWh";

// money formats an amount in its own currency. amount is a decimal string of
// Central with as many decimals as the currency has, which Intl may not know.
function money(amount, currency, locale) {
  const decimals = (amount.split(".")[1] || "").length;
  return new Intl.NumberFormat(locale, { style: "currency", currency, minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(amount);
}

// duration formats whole seconds exactly: 7140 is "1 h 59 min". most limits the
// number of units, for ages that are shown while they grow.
function duration(seconds, most = 4) {
  const s = Math.max(0, Math.floor(seconds));
  const parts = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"]];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + most).filter(([n]) => n > 0).map(([n, unit]) => n + " " + unit).join(" ");
}

const age = (ms) => duration(ms / 1000, 2);
