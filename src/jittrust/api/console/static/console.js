// What the pages do. Texts from the broker are only ever set as text, never as HTML.
"use strict";

const prefix = "/console";
const told = document.getElementById("told");

async function post(path, body) {
  const answer = await fetch(prefix + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body || {}),
  });
  const read = await answer.json();
  if (read.error) {
    throw new Error(`${read.error.message} ${read.error.next_step} [${read.error.code}]`);
  }
  return read;
}

async function signed(path, body) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await post(path, body));
  const credential = await navigator.credentials.get({ publicKey });
  return JSON.stringify(credential.toJSON());
}

// This one call, or the source that the question offers: part of what is signed.
function choice() {
  const source = document.querySelector("input[name=endorse][value=yes]");
  if (!source || !source.checked) {
    return {};
  }
  const amount = document.querySelector("input[name=up_to]");
  return amount ? { endorse: "yes", up_to: amount.value.trim() } : { endorse: "yes" };
}

// The secret of a link stands behind the #, is read once and leaves the address bar.
let invitation = "";
function takeInvitation() {
  if (location.pathname === `${prefix}/enrol` && location.hash.length > 1) {
    invitation = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
  }
}

const doing = {
  async login(button) {
    const response = await signed("/login/begin");
    location.assign((await post("/login/finish", { response, next: button.dataset.next })).to);
  },
  async provider(button) {
    location.assign((await post("/login/provider", { next: button.dataset.next })).to);
  },
  async logout() {
    location.assign((await post("/logout")).to);
  },
  async enrol(form) {
    const options = await post("/enrol/begin", { invitation });
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    const credential = await navigator.credentials.create({ publicKey });
    const response = JSON.stringify(credential.toJSON());
    const label = form.elements.label.value;
    location.assign((await post("/enrol/finish", { invitation, response, label })).to);
  },
  async approve(button) {
    const path = `/approvals/${encodeURIComponent(button.dataset.id)}`;
    const chosen = choice();
    const response = await signed(`${path}/begin`, chosen);
    location.assign((await post(`${path}/answer`, { answer: "approve", response, ...chosen })).to);
  },
  async deny(button) {
    const path = `/approvals/${encodeURIComponent(button.dataset.id)}`;
    location.assign((await post(`${path}/answer`, { answer: "deny" })).to);
  },
  async consent(button) {
    const path = `/consent/${encodeURIComponent(button.dataset.id)}`;
    const question = button.dataset.question;
    const pin = document.getElementById("pin");
    const shown = pin ? { pin: pin.value } : { response: await signed(`${path}/begin`, { question }) };
    location.assign((await post(`${path}/answer`, { answer: "approve", question, ...shown })).to);
  },
  async goon(button) {
    const path = `/consent/${encodeURIComponent(button.dataset.id)}`;
    location.assign((await post(`${path}/answer`, { answer: "approve" })).to);
  },
  async refuse(button) {
    const path = `/consent/${encodeURIComponent(button.dataset.id)}`;
    location.assign((await post(`${path}/answer`, { answer: "deny" })).to);
  },
  async goal(form) {
    const ticked = document.querySelectorAll("input[name=also]:checked");
    const also = Array.from(ticked, (one) => one.value).join(" ");
    const body = { goal: form.elements.goal.value, also: touched.has("goal") ? "" : also };
    location.assign((await post(`/consent/${encodeURIComponent(form.dataset.id)}/goal`, body)).to);
  },
  async invite(form) {
    const made = await post("/people/invite", {
      person: form.elements.person.value,
      role: form.elements.role.value,
    });
    document.getElementById("link").textContent = made.link;
  },
};

// What is on the screen and was not shown by the broker yet is not what a yes would be for.
const touched = new Set();
function settle() {
  document.querySelectorAll("button[data-do=consent]").forEach((one) => { one.disabled = touched.size > 0; });
  document.querySelectorAll("[data-stale]").forEach((one) => { one.hidden = touched.size === 0; });
}
document.querySelectorAll("textarea[name=goal], input[name=also]").forEach((field) => {
  const first = field.type === "checkbox" ? field.checked : field.value;
  field.addEventListener("input", () => {
    const name = field.type === "checkbox" ? field.value : "goal";
    if ((field.type === "checkbox" ? field.checked : field.value) === first) {
      touched.delete(name);
    } else {
      touched.add(name);
    }
    settle();
  });
});

async function run(element) {
  told.textContent = "";
  const buttons = document.querySelectorAll("button");
  buttons.forEach((one) => { one.disabled = true; });
  try {
    await doing[element.dataset.do](element);
  } catch (error) {
    told.textContent = error.message;
  } finally {
    buttons.forEach((one) => { one.disabled = false; });
    settle();
  }
}

takeInvitation();
window.addEventListener("hashchange", takeInvitation);
document.querySelectorAll("button[data-do]").forEach((button) => button.addEventListener("click", () => run(button)));
document.querySelectorAll("form[data-do]").forEach((form) => form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(form);
}));
document.querySelectorAll("time[data-seconds]").forEach((time) => {
  time.textContent = new Date(Number(time.dataset.seconds) * 1000).toLocaleString();
});
