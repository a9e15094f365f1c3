(function () {
  var page = document;
  // Buttons that need a script are shown by this class.
  page.documentElement.className = "js";
  function copied(button) {
    var status = page.querySelector("[role=status]");
    status.textContent = button.querySelector(".done").textContent;
    button.classList.add("copied");
    setTimeout(function () {
      button.classList.remove("copied");
      status.textContent = "";
    }, 2500);
  }
  // Without a clipboard: by a selection, and if that fails too, the code is selected at least.
  function select(button) {
    var area = page.createElement("textarea");
    area.value = button.dataset.copy;
    area.className = "spoken";
    page.body.append(area);
    area.select();
    var done = page.execCommand("copy");
    area.remove();
    button.focus();
    if (done) copied(button);
    else getSelection().selectAllChildren(page.querySelector(".code b"));
  }
  page.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy]");
    if (!button) return;
    if (!navigator.clipboard) return select(button);
    navigator.clipboard.writeText(button.dataset.copy).then(
      function () { copied(button); },
      function () { select(button); }
    );
  });
})();
