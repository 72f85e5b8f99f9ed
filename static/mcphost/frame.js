// The functions that the frame's templates call by name. Alpine's CSP build evaluates expressions without eval, and
// knows only the functions that are registered here. `theme`, `searchForm`, `searchCommand` and `getCurrentTab` are unfold's (app.js).

const SIDEBAR = "sidebarDesktopOpen"; // kept as unfold keeps it

function frame(tab) {
  return {
    activeTab: (tab && getCurrentTab()) || tab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(SIDEBAR) !== "0",
    // unfold's forms read their address from it.
    window: { location: { pathname: location.pathname, search: location.search } },
    init() {
      this.$watch(SIDEBAR, (open) => localStorage.setItem(SIDEBAR, open ? "1" : "0"));
    },
  };
}

document.addEventListener("alpine:init", () => {
  for (const part of [frame, theme, searchForm, searchCommand]) Alpine.data(part.name, part);
});
