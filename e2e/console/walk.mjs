// Walks through the console. It prints what it did, and ends with an error if anything was not as it should be.
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const { CONSOLE_URL: base, CONSOLE_KEY: key, CONSOLE_SHOTS: shots, CHROMIUM: executablePath, CAMPAIGN: campaign, WAITING: waiting, ACCOUNT: account, DOUBT: doubt, EARLIER: earlier } = process.env;
const problems = [];
const problem = (text) => {
  problems.push(text);
  console.log("PROBLEM: " + text);
};
const check = (ok, text) => {
  if (!ok) problem(text);
};

mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"] });

// watch reports whatever a page complains about.
const watch = (page, name, expected = []) => {
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected.some((text) => message.text().includes(text))) problem(`${name}: the browser says: ${message.text()}`);
  });
  page.on("pageerror", (error) => problem(`${name}: ${error}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(base) && !request.url().startsWith("data:")) problem(`${name}: asks ${request.url()}`);
  });
};

// fits reports what is wider than the screen, or cut off.
const fits = async (page, name) => {
  const wide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) return "the page is " + document.documentElement.scrollWidth + " wide, the screen " + width;
    for (const one of document.querySelectorAll("main *, .side *")) {
      if (one.closest("thead") && width < 761) continue; // for screen readers only
      const box = one.getBoundingClientRect();
      if (box.width > 1 && box.right > width + 1 && getComputedStyle(one).visibility !== "hidden" && one.checkVisibility()) return one.outerHTML.slice(0, 120) + " ends at " + box.right;
    }
    return "";
  });
  check(wide === "", `${name}: ${wide}`);
};

// readable reports texts whose contrast is below what WCAG AA asks for: 4.5, or 3 for large ones.
const readable = async (page, name) => {
  const faint = await page.evaluate(() => {
    const parse = (text) => {
      const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
      return { r, g, b, a };
    };
    const light = ({ r, g, b }) => {
      const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (one) => {
      for (; one; one = one.parentElement) {
        const colour = parse(getComputedStyle(one).backgroundColor);
        if (colour.a > 0) return colour;
      }
      return { r: 255, g: 255, b: 255 };
    };
    const found = new Set();
    for (const one of document.querySelectorAll("body *")) {
      if (one.closest("svg") || !one.checkVisibility() || ![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
      const style = getComputedStyle(one);
      const [a, b] = [light(parse(style.color)), light(ground(one))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = parseFloat(style.fontSize);
      if (contrast < (size >= 24 || (size >= 18.7 && style.fontWeight >= 700) ? 3 : 4.5)) found.add(`${one.textContent.trim().slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
    return [...found].slice(0, 5).join("; ");
  });
  check(faint === "", `${name}: too faint: ${faint}`);
};

const login = async (context) => {
  const page = await context.newPage();
  watch(page, "log in", ["401"]);
  await page.goto(base + "/campaigns");
  await page.getByLabel("API key").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("This key is not valid").waitFor();
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await page.waitForURL(base + "/campaigns");
  await page.close();
};

// What a person does, with the keyboard where that is as easy.
const walk = async () => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  await login(context);
  const page = await context.newPage();
  watch(page, "walk");
  await page.goto(base + "/campaigns");
  await page.getByRole("link", { name: "Spring: thank you for a year" }).click();
  await page.waitForURL(`${base}/campaigns/${campaign}`);
  const other = await context.newPage();
  watch(other, "second window");
  await other.goto(page.url());
  await other.locator("summary", { hasText: "Pause" }).click();
  await other.getByLabel("Why").first().fill("typed here");
  await other.bringToFront();

  await page.bringToFront();
  await page.locator("summary", { hasText: "Pause" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("#act-pause").getByLabel("Why").fill("a look at the price");
  await page.getByRole("button", { name: "Pause this campaign" }).click();
  await page.getByText("The campaign is paused.").waitFor();
  check((await page.locator(".heading .badge").textContent()) === "paused", "the campaign is not paused");

  // The other window learns of it without being loaded anew.
  await other.bringToFront();
  await other.locator(".heading .badge", { hasText: "paused" }).waitFor({ timeout: 8000 });
  console.log("the other window is up to date");
  await other.close();

  await page.locator("summary", { hasText: "Resume" }).click();
  await page.getByRole("button", { name: "Resume this campaign" }).click();
  await page.getByText("The campaign is running.").waitFor();

  // What is typed and unfolded stays while the page is kept up to date.
  await page.locator("summary", { hasText: "Cancel" }).click();
  await page.locator("#act-cancel").getByLabel("Why").fill("half a sente");
  const refreshed = page.waitForResponse((answer) => answer.request().headers()["x-fragment"] === "live");
  await refreshed;
  await page.waitForTimeout(300);
  await page.keyboard.type("nce");
  check((await page.locator("#act-cancel").getByLabel("Why").inputValue()) === "half a sentence", "what was typed is gone: " + (await page.locator("#act-cancel").getByLabel("Why").inputValue()));
  check(await page.locator("#act-cancel").evaluate((one) => one.open), "what was unfolded is folded");

  await page.getByRole("searchbox").fill(waiting);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/messages\/[0-9a-f-]{36}$/);
  await page.getByText(`no token of account ${account} is free`).first().waitFor();
  check(await page.locator(".wait .figures", { hasText: "expected about" }).isVisible(), "nobody says when it goes on");
  console.log("explained: " + (await page.locator(".wait p").first().textContent()));

  // A decision that is begun belongs to its message, even when somebody else settles the one before it meanwhile.
  await page.getByRole("link", { name: "In doubt" }).click();
  const mine = page.locator(".doubt", { hasText: doubt });
  await mine.locator("summary").click();
  await mine.getByText("It was sent.").click();
  await mine.getByLabel("Why").fill("it is in the chat");
  const colleague = await context.newPage();
  watch(colleague, "a colleague");
  await colleague.goto(base + "/doubts");
  const theirs = colleague.locator(".doubt", { hasText: earlier });
  await theirs.locator("summary").click();
  await theirs.getByText("It was sent.").click();
  await theirs.getByLabel("Why").fill("seen");
  await theirs.getByRole("button", { name: "Settle it" }).click();
  await colleague.getByText(`${earlier} is settled: sent.`).waitFor();
  await colleague.close();
  await page.bringToFront();
  await page.locator(".doubt", { hasText: earlier }).waitFor({ state: "detached", timeout: 8000 });
  check((await mine.getByLabel("Why").inputValue()) === "it is in the chat", "a decision that was begun is gone");
  await mine.getByRole("button", { name: "Settle it" }).click();
  await page.getByText(`${doubt} is settled: sent.`).waitFor();
  await page.getByRole("searchbox").fill(doubt);
  await page.keyboard.press("Enter");
  await page.getByText("an operator says that it was sent, it is in the chat").waitFor();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${shots}/settled-1280-${colorScheme}.png`, fullPage: true });
  }

  // River's own pages run by the policy they have.
  await page.getByRole("link", { name: "Jobs" }).click();
  await page.getByText("Jobs").first().waitFor();
  await page.waitForTimeout(1500);
  await page.screenshot({ path: `${shots}/river.png` });
  await page.goto(base + "/");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(base + "/login");
  await context.close();
};

// Every page in both schemes and widths. River's are its own.
const pictures = async () => {
  const pages = { overview: "/", campaigns: "/campaigns", campaign: `/campaigns/${campaign}`, search: "/messages?q=fan-0001", message: `/messages?q=${waiting}`, accounts: "/accounts",
    account: "/account?user=" + account, resting: "/account?user=creator-5", doubts: "/doubts", quarantine: "/quarantine", providers: "/providers", flags: "/flags", missing: "/nothing" };
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      const context = await browser.newContext({ viewport: { width, height: width === 390 ? 844 : 900 }, colorScheme });
      await login(context);
      const page = await context.newPage();
      watch(page, `${colorScheme} ${width}`, ["404"]);
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(base + path);
        await fits(page, `${name} ${width}`);
        await readable(page, `${name} ${width} ${colorScheme}`);
        await page.screenshot({ path: `${shots}/${name}-${width}-${colorScheme}.png`, fullPage: true });
      }
      const before = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
      const door = await before.newPage();
      await door.goto(base + "/");
      await door.screenshot({ path: `${shots}/login-${width}-${colorScheme}.png` });
      await before.close();
      if (width === 390) {
        await page.goto(base + "/");
        await page.getByRole("button", { name: "Menu" }).click();
        await page.getByRole("link", { name: "Campaigns", exact: true }).waitFor();
        await page.screenshot({ path: `${shots}/menu-${width}-${colorScheme}.png` });
      }
      await page.goto(base + "/doubts");
      if (await page.locator("summary").count()) {
        await page.locator("summary").first().click();
        await fits(page, `decision ${width}`);
        await page.screenshot({ path: `${shots}/decision-${width}-${colorScheme}.png`, fullPage: true });
      }
      await context.close();
    }
  }
};

// Everything works without script, too.
const plain = async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  await login(context);
  const page = await context.newPage();
  await page.goto(`${base}/campaigns/${campaign}`);
  for (const [name, then] of [["Pause", "paused"], ["Resume", "running"]]) {
    await page.locator("summary", { hasText: name }).click();
    await page.getByRole("button", { name: `${name} this campaign` }).click();
    await page.getByText(`The campaign is ${then}.`).waitFor();
  }
  await context.close();
};

try {
  await pictures();
  await plain();
  await walk();
} catch (error) {
  problem(String(error.stack ?? error));
} finally {
  await browser.close();
}
console.log(problems.length === 0 ? "nothing was wrong" : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
