"use strict";

const report = JSON.parse(document.getElementById("data").textContent);

/** How each status counts, its words, and the colour of each verdict in style.css. */
const STATUSES = {
  COMPLIANT: ["compliant", "Compliant"],
  NO_KEY: ["non-compliant", "No key"],
  OTHER_KEY: ["non-compliant", "Other key"],
  KEY_UNHEALTHY: ["non-compliant", "Key unusable"],
  CONFLICT: ["non-compliant", "Rules conflict"],
  FLAPPING: ["non-compliant", "Key flaps"],
  UNKNOWN: ["unknown", "Unknown"],
  EXEMPT: ["not-required", "Exempt"],
  NO_RULE: ["not-required", "No rule"],
};
const VERDICTS = [
  ["compliant", "Compliant", "--good"],
  ["non-compliant", "Not compliant", "--bad"],
  ["unknown", "Unknown", "--unsure"],
  ["not-required", "Not required", "--neutral"],
];
const MAX_BARS = 12;
const PAGE_ROWS = 200;

const verdict = (row) => STATUSES[row.status]?.[0] ?? "unknown";
const statusName = (row) => STATUSES[row.status]?.[1] ?? row.status;
const number = (value) => value.toLocaleString("en");
const find = (selector) => document.querySelector(selector);

/** An element with text. Names come from outside, so nothing here is ever parsed as HTML. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The short form of a key ARN: the last part of its id, so that keys can be told apart. */
function shortKey(arn) {
  if (!arn) return "none";
  const id = arn.slice(arn.lastIndexOf("/") + 1);
  return id.length > 14 ? `…${id.slice(-12)}` : id;
}

// === Summary ===

function summary() {
  const basis = {
    RULES: "compared with the tenant's encryption rules",
    EXPECTED_KEY: `compared with the key ${report.expectedKmsKeyId}`,
    ANY_KEY: "any KMS key counts as compliant: the tenant has no encryption rules",
  }[report.basis];
  const time = report.createTime.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
  find("#about").textContent = `Tenant ${report.tenantId}, ${time}, ${basis}.`;

  const unread = report.locations.filter((location) => location.error);
  find("#incomplete").hidden = unread.length === 0;
  for (const { accountId, region, error } of unread) {
    find("#incomplete ul").append(element("li", {}, `${accountId} ${region}: ${error.reason}: ${error.message}`));
  }

  const count = (wanted) => report.resources.filter((row) => verdict(row) === wanted).length;
  const percent = report.compliantPercent;
  const tile = (kind, value, words) =>
    element("div", { className: kind }, element("strong", {}, value), element("span", {}, words));
  const coverage = tile("coverage", percent === null ? "–" : `${percent} %`, "compliant, of those that need a key");
  if (percent !== null) coverage.append(element("progress", { max: 100, value: percent, ariaLabel: "compliant" }));
  find(".tiles").append(
    coverage,
    tile("compliant", number(count("compliant")), "compliant"),
    tile("non-compliant", number(count("non-compliant")), "not compliant"),
    tile("unknown", number(count("unknown")), "unknown"),
    tile("not-required", number(count("not-required")), "exempt or without a rule"),
  );
}

// === Charts ===

const charts = [];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function chart(id, height, caption, config) {
  const figure = document.getElementById(id);
  figure.querySelector("div").style.height = `${height}px`;
  if (caption) figure.querySelector("figcaption").append(" ", element("small", {}, caption));
  const canvas = figure.querySelector("canvas");
  canvas.ariaLabel = `${figure.querySelector("figcaption").textContent}: the table below has the numbers`;
  charts.push(new Chart(canvas, config));
}

/** The options that both kinds of chart share. */
function options(indexAxis, extra) {
  const stacked = (grid) => ({ stacked: true, grid: { display: grid }, border: { display: false }, ticks: {} });
  return {
    indexAxis,
    maintainAspectRatio: false,
    animation: false,
    interaction: { mode: "index", axis: indexAxis, intersect: false },
    plugins: { legend: { position: "bottom", align: "start", labels: { boxWidth: 12, boxHeight: 12 } }, ...extra },
    scales: { x: stacked(indexAxis === "y"), y: stacked(indexAxis === "x") },
  };
}

function pastDays() {
  const points = report.history;
  find("#history").hidden = points.length === 0;
  if (points.length === 0) return;
  const counts = points.map(({ counts = {} }) => {
    const of = (...names) => names.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    return [
      of("compliant"),
      of("noKey", "otherKey", "keyUnhealthy", "conflict"),
      of("unknown"),
      of("exempt", "noRule"),
    ];
  });
  const unread = points.filter((point) => point.unreadableLocations).length;
  const caption = unread ? `log groups; on ${unread} of the days not everything could be read` : "log groups";
  const config = options("x", {});
  config.scales.y.beginAtZero = true;
  config.scales.y.ticks.precision = 0;
  config.scales.x.ticks = { maxRotation: 0, autoSkipPadding: 16 };
  // A line needs several points.
  chart("history", 260, caption, {
    type: points.length < 8 ? "bar" : "line",
    data: {
      labels: points.map((point) => point.date),
      datasets: VERDICTS.map(([, label, variable], index) => ({
        label,
        variable,
        data: counts.map((row) => row[index]),
        fill: index === 0 ? "origin" : "-1",
        tension: 0.2,
        borderWidth: 2,
        pointRadius: points.length > 20 ? 0 : 3,
        maxBarThickness: 48,
      })),
    },
    options: config,
  });
}

/** A bar for each group, those with the most non-compliant resources first. */
function bars(id, of, label, words) {
  const groups = new Map();
  for (const row of report.resources) {
    const group = groups.get(of(row)) ?? Object.fromEntries(VERDICTS.map(([name]) => [name, 0]));
    group[verdict(row)] += 1;
    groups.set(of(row), group);
  }
  const total = (group) => Object.values(group).reduce((sum, count) => sum + count, 0);
  const sorted = [...groups].sort(
    ([, a], [, b]) => b["non-compliant"] - a["non-compliant"] || total(b) - total(a),
  );
  const shown = sorted.slice(0, MAX_BARS);
  const caption = sorted.length > MAX_BARS ? `${MAX_BARS} of ${sorted.length} ${words}, the worst first` : "";
  const config = options("y", { tooltip: { callbacks: { title: ([item]) => shown[item.dataIndex][0] || "no key" } } });
  config.scales.x.ticks.precision = 0;
  chart(id, 90 + 30 * shown.length, caption, {
    type: "bar",
    data: {
      labels: shown.map(([value]) => label(value)),
      datasets: VERDICTS.map(([name, text, variable]) => ({
        label: text,
        variable,
        data: shown.map(([, group]) => group[name]),
        maxBarThickness: 22,
      })),
    },
    options: config,
  });
}

/** Gives the charts the colours of the current scheme. */
function paint() {
  for (const it of charts) {
    it.options.color = colour("--text");
    for (const dataset of it.data.datasets) {
      const base = colour(dataset.variable);
      dataset.borderColor = base;
      dataset.backgroundColor = it.config.type === "line" ? `${base}66` : base;
    }
    for (const scale of Object.values(it.options.scales)) {
      scale.ticks.color = colour("--muted");
      scale.grid.color = colour("--line");
    }
    it.resize();
    it.update();
  }
}

// === Resources ===

const COLUMNS = [
  ["Status", (row) => statusName(row)],
  ["Resource", (row) => row.resource],
  ["Account", (row) => row.accountId],
  ["Region", (row) => row.region],
  ["Key", (row) => row.kmsKeyArn],
  ["Rule", (row) => row.ruleName],
  ["Since", (row) => row.startTime],
];
const view = { column: 0, descending: true, limit: PAGE_ROWS };
const collator = new Intl.Collator("en", { numeric: true });
const form = find("form");

/** The order of the verdicts, for the column with the status: the worst has the highest number. */
const RANKS = { "not-required": 0, compliant: 1, unknown: 2, "non-compliant": 3 };

function compare(a, b) {
  const text = COLUMNS[view.column][1];
  const byStatus = view.column === 0 ? RANKS[verdict(a)] - RANKS[verdict(b)] : 0;
  const order = byStatus || collator.compare(text(a), text(b));
  return (view.descending ? -order : order) || collator.compare(a.resourceArn, b.resourceArn);
}

function matching() {
  const { text, status, account, region } = Object.fromEntries(new FormData(form));
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return report.resources.filter((row) => {
    if (status && verdict(row) !== status && row.status !== status) return false;
    if ((account && row.accountId !== account) || (region && row.region !== region)) return false;
    const searched = Object.values(row).join("\n").toLowerCase();
    return words.every((word) => searched.includes(word));
  });
}

function details(row) {
  const entries = [
    ["ARN", row.resourceArn],
    ["Key", row.kmsKeyArn],
    ["Required key", row.requiredKmsKeyArn],
    ["Rule", row.ruleId],
    ["Finding", row.message],
    ["Reason", row.reason],
    ["What to do", row.remedy],
    ["Changed by", row.changedBy],
    ["Bulk job", row.bulkAssociationId],
  ].filter(([, value]) => value);
  const list = element("dl", {}, ...entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  if (row.remedyDocument) {
    list.append(element("dt", {}, "Statement to add"), element("dd", {}, element("pre", {}, row.remedyDocument)));
  }
  return element("details", {}, element("summary", {}, row.resource), list);
}

function tableRow(row) {
  const cell = (label, content, className = "") => {
    const made = element("td", { className }, content);
    made.dataset.label = label;
    return made;
  };
  const status = element("td", {}, element("span", { className: `badge ${verdict(row)}` }, statusName(row)));
  const key = cell("Key", row.kmsKeyArn ? shortKey(row.kmsKeyArn) : "", "short");
  key.title = row.kmsKeyArn;
  return element(
    "tr",
    {},
    status,
    element("td", {}, details(row)),
    cell("Account", row.accountId, "short"),
    cell("Region", row.region, "short"),
    key,
    cell("Rule", row.ruleName),
    cell("Since", row.startTime.slice(0, 10), "short"),
  );
}

function show() {
  const rows = matching().sort(compare);
  find("tbody").replaceChildren(...rows.slice(0, view.limit).map(tableRow));
  form.elements.shown.value = `${number(rows.length)} of ${number(report.resources.length)} resources`;
  find("#empty").hidden = rows.length > 0;
  find("#more").hidden = rows.length <= view.limit;
  find("#more").textContent = `Show ${number(Math.max(0, rows.length - view.limit))} more`;
  [...find("thead tr").children].forEach((head, index) => {
    head.ariaSort = index === view.column ? (view.descending ? "descending" : "ascending") : "none";
  });
}

function choices(name, options) {
  form.elements[name].append(...options.map(([value, text]) => element("option", { value }, text)));
}

function resources() {
  const values = (of) => [...new Set(report.resources.map(of))].sort(collator.compare).map((it) => [it, it]);
  const present = (status) => report.counts[status] > 0;
  choices("status", [
    ["", "All"],
    ...VERDICTS.map(([name, text]) => [name, text]),
    ...Object.keys(STATUSES).filter((it) => it !== "COMPLIANT" && present(it)).map((it) => [it, `— ${STATUSES[it][1]}`]),
  ]);
  choices("account", [["", "All"], ...values((row) => row.accountId)]);
  choices("region", [["", "All"], ...values((row) => row.region)]);
  COLUMNS.forEach(([title], index) => {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      view.descending = view.column === index && !view.descending;
      view.column = index;
      show();
    });
    find("thead tr").append(element("th", { scope: "col" }, button));
  });
  const again = () => {
    view.limit = PAGE_ROWS;
    show();
  };
  form.addEventListener("input", again);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields have their first values only after the event.
  form.addEventListener("reset", () => setTimeout(again));
  find("#more").addEventListener("click", () => {
    view.limit = Infinity;
    show();
  });
  show();
}

summary();
pastDays();
bars("accounts", (row) => row.accountId, (account) => account, "accounts");
bars("keys", (row) => row.kmsKeyArn, shortKey, "keys");
paint();
resources();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
matchMedia("print").addEventListener("change", paint);
addEventListener("beforeprint", () => {
  view.limit = Infinity;
  show();
});
