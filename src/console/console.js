// Only what is nicer with a script; every page works without it.
(function () {
  var page = document;
  page.documentElement.className = "js";
  // What is wrong is read out and seen first.
  var errors = page.querySelector(".errors");
  if (errors) errors.focus();
  // A form is sent once, however often its button is pressed.
  page.addEventListener("submit", function (event) {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) return event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", function () {
    page.querySelectorAll("form[data-sent]").forEach(function (form) { delete form.dataset.sent; });
  });
  page.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(function () {
      var label = button.textContent;
      button.textContent = "Copied";
      setTimeout(function () { button.textContent = label; }, 2000);
    });
  });
})();
