// Copyright: (c) 2026, meet.coop members
// GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// The double's page: brand, sign-in form, rooms. Labels and field names as in Greenlight's own pages, so one browser test fits both.
(() => {
  const base = document.currentScript.dataset.root || "";
  const root = document.getElementById("root");

  async function api(method, path, body) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    headers["X-CSRF-Token"] = document.querySelector('meta[name="csrf-token"]').content;
    const answer = await fetch(`${base}/api/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    const value = text ? JSON.parse(text) : null;
    if (!answer.ok) throw new Error(String((value && value.errors) || answer.status));
    return value && value.data;
  }

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    Object.entries(attributes || {}).forEach(([key, value]) => (key in made ? (made[key] = value) : made.setAttribute(key, value)));
    made.append(...children.filter(Boolean));
    return made;
  }

  function field(id, name, label, type) {
    return element("div", {}, element("label", { htmlFor: id }, label), element("input", { id, name, type, required: true }));
  }

  function signIn(done) {
    const message = element("p", { role: "alert" });
    const form = element("form", { id: "signInForm" }, field("signInFormEmail", "email", "Email", "email"),
      field("signInFormPwd", "password", "Password", "password"), message,
      element("button", { type: "submit", className: "btn-brand" }, "Sign In"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await api("POST", "sessions.json", { session: { email: form.email.value, password: form.password.value, extend_session: false } });
        await done();
      } catch (error) {
        message.textContent = `The email or password is incorrect. (${error.message})`;
      }
    });
    return form;
  }

  // /reset_password/<token> and /activate_account/<token>, where the links of the mails lead
  function resetPassword(main, token) {
    const message = element("p", { role: "alert" });
    const form = element("form", {}, field("resetPwdFormNewPwd", "new_password", "New Password", "password"),
      field("resetPwdFormPwdConfirm", "password_confirmation", "Confirm password", "password"), message,
      element("button", { type: "submit", className: "btn-brand" }, "Change Password"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        if (form.new_password.value !== form.password_confirmation.value) throw new Error("The passwords do not match.");
        await api("POST", "reset_password/reset.json", { user: { token, new_password: form.new_password.value } });
        window.location.href = `${base}/signin`;
      } catch (error) {
        message.textContent = error.message;
      }
    });
    main.replaceChildren(element("h1", {}, "Reset Password"), form);
  }

  // app/javascript/i18n.js: the language's own texts over the English ones
  async function texts(language) {
    const headers = { Accept: "application/json" };
    const load = async (name) => (await fetch(`${base}/api/v1/locales/${name}.json`, { headers })).json();
    const english = await load("en");
    const own = await load(language || "en").catch(() => ({}));
    return { ...english, ...own, homepage: { ...english.homepage, ...own.homepage } };
  }

  async function home(main) {
    const [, page, token] = window.location.pathname.slice(base.length).split("/");
    if (page === "reset_password" && token) {
      await api("POST", "reset_password/verify.json", { user: { token } });
      resetPassword(main, token);
      return;
    }
    if (page === "activate_account" && token) {
      await api("POST", "verify_account/activate.json", { user: { token } });
      window.location.href = `${base}/signin`;
      return;
    }
    const user = await api("GET", "sessions.json");
    if (!user.signed_in) {
      const link = element("a", { href: `${base}/signin`, className: "btn-brand" }, "Sign In");
      main.replaceChildren(element("h1", {}, (await texts(user.default_locale)).homepage.welcome_bbb),
        window.location.pathname.endsWith("/signin") ? signIn(() => home(main)) : link);
      return;
    }
    if (window.location.pathname !== `${base}/rooms`) window.history.replaceState(null, "", `${base}/rooms`);
    const rooms = await api("GET", "rooms.json");
    const list = element("ul", { id: "rooms" }, ...rooms.map((room) => element("li", {}, room.name, " ", start(room))));
    main.replaceChildren(element("p", { id: "user" }, user.name), element("h1", {}, "Rooms"), list);
  }

  function start(room) {
    const button = element("button", { className: "btn-brand" }, "Start");
    button.addEventListener("click", async () => {
      window.location.href = await api("POST", `meetings/${room.friendly_id}/start.json`);
    });
    return button;
  }

  async function show() {
    document.title = SITE.title;
    // One missing or duplicate row makes this null and the page stays blank, as upstream's does.
    const colors = await api("GET", "site_settings.json?names[]=PrimaryColor&names[]=PrimaryColorLight");
    document.documentElement.style.setProperty("--brand-color", colors.PrimaryColor);
    document.documentElement.style.setProperty("--brand-color-light", colors.PrimaryColorLight);
    const image = await api("GET", "site_settings.json?names[]=BrandingImage");
    const links = await api("GET", "site_settings.json?names[]=Terms&names[]=PrivacyPolicy");
    const help = await api("GET", "site_settings.json?names[]=HelpCenter");
    const main = element("main", {});
    const entries = [["Terms & Conditions", links.Terms], ["Privacy Policy", links.PrivacyPolicy], ["Help Center", help]];
    root.replaceChildren(
      element("style", {}, ".btn-brand { background-color: var(--brand-color); color: white } body { font-family: sans-serif }"),
      element("header", {}, element("a", { href: `${base}/` }, element("img", { src: image, alt: "CompanyLogo", height: 40 }))), main,
      element("footer", {}, SITE.link ? element("a", { href: SITE.link }, SITE.footer) : element("span", {}, SITE.footer), ...entries.filter(([, href]) => href).map(([name, href]) => element("a", { href }, name))),
    );
    await home(main);
  }

  show();
})();
