// Which tokens are linked, and where, worked by hand.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LinksView } from "#viewing/links.js";
import { DenseMatrix } from "#viewing/matrix.js";
import { install } from "../../fake_dom.js";
import { appWith, uniform } from "./fake_app.js";

install();

test("both texts reach their ends together", () => {
  const links = new LinksView(appWith(uniform(30, 50)));
  links.layout(800, 34 + 10 * 22);
  assert.deepEqual([links.rows, links.left, links.right], [10, 220, 580]);
  assert.equal(links.firstKey, 0);
  links.scroll(10);
  links.layout(800, 34 + 10 * 22);
  assert.deepEqual([links.firstQuery, links.firstKey], [10, 20]); // half of 20 and of 40
  links.scroll(1000);
  links.layout(800, 34 + 10 * 22);
  assert.deepEqual([links.firstQuery, links.firstKey], [20, 40]);
  assert.deepEqual(links.hit(10, 34 + 22), { side: "rows", index: 21 });
  assert.deepEqual(links.hit(600, 34), { side: "columns", index: 40 });
  assert.equal(links.hit(300, 34), null);
  assert.equal(links.hit(10, 33), null);
  links.scrollToCursor();
  assert.equal(links.firstQuery, 0);
});

test("the weight that shades a token is the one it shares with the active token", () => {
  const matrix = new DenseMatrix(["a", "b"], ["x", "y"], Float32Array.of(0.75, 0.25, 0.001, 0.999));
  const links = new LinksView(appWith(matrix, { query: 1 }));
  assert.deepEqual([0, 1].map((key) => links.linkWeight("columns", key)), [0, Math.fround(0.999)]); // 0.001 is too little to see
  assert.equal(links.linkWeight("rows", 0), 0);
  links.hover = { side: "columns", index: 0 };
  assert.equal(links.linkWeight("rows", 0), 0.75);
  assert.deepEqual(links.topOf(links.active, 1), [{ index: 0, weight: 0.75, exact: true }]);
});
