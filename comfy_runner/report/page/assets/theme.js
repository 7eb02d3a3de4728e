// Light or dark: as the system says, until the reader chooses.

const prefersDark = matchMedia('(prefers-color-scheme: dark)');
const themed = []; // what has to be drawn anew when colours change

const isDark = () => (document.documentElement.dataset.theme ?? (prefersDark.matches ? 'dark' : 'light')) === 'dark';

function showTheme() {
  byId('theme').textContent = isDark() ? 'Light' : 'Dark';
  byId('theme').setAttribute('aria-label', isDark() ? 'Change to light colours' : 'Change to dark colours');
  themed.forEach((draw) => draw());
}

function startTheme() {
  const kept = memory.get('theme');
  if (kept === 'dark' || kept === 'light') document.documentElement.dataset.theme = kept;
  byId('theme').addEventListener('click', () => {
    document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
    memory.set('theme', document.documentElement.dataset.theme);
    showTheme();
  });
  prefersDark.addEventListener('change', showTheme);
  showTheme();
}
