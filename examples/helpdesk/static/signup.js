// Suggests address and schema while the name is typed, until they are edited.
// The form works without it: fields that are left empty are filled by the server.
const name = document.getElementById("name");

function slug(text, separator) {
  const words = text.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean);
  const result = words.join(separator);
  return /^[0-9]/.test(result) ? "c" + separator + result : result;
}

for (const [id, separator] of [["address", "-"], ["schema", "_"]]) {
  const field = document.getElementById(id);
  let own = field.value !== "" && field.value !== slug(name.value, separator);
  field.addEventListener("input", () => { own = field.value !== ""; });
  name.addEventListener("input", () => { if (!own) field.value = slug(name.value, separator); });
}
