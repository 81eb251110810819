// @ts-check
/** The page Jobs. */

import { use } from "./i18n.js";
import messages from "./messages/jobs.js";
import { shell } from "./shell.js";

use(messages);
shell("jobs");
