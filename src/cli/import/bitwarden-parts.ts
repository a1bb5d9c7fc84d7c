/**
 * How Bitwarden's cards, identities and keys are spelled in its files, and what their parts are called here: the
 * fields of an entry, in this order. The exporter goes the same way back.
 */
export type Part = { key: string; name: string; hidden: boolean };
export type PartKind = "card" | "identity" | "sshKey";

export const PARTS: Record<PartKind, readonly Part[]> = {
  card: [
    { key: "cardholderName", name: "Cardholder name", hidden: false },
    { key: "brand", name: "Brand", hidden: false },
    { key: "number", name: "Number", hidden: true },
    { key: "expMonth", name: "Expiry month", hidden: false },
    { key: "expYear", name: "Expiry year", hidden: false },
    { key: "code", name: "Security code", hidden: true },
  ],
  identity: [
    { key: "title", name: "Title", hidden: false },
    { key: "firstName", name: "First name", hidden: false },
    { key: "middleName", name: "Middle name", hidden: false },
    { key: "lastName", name: "Last name", hidden: false },
    { key: "address1", name: "Address 1", hidden: false },
    { key: "address2", name: "Address 2", hidden: false },
    { key: "address3", name: "Address 3", hidden: false },
    { key: "city", name: "City", hidden: false },
    { key: "state", name: "State", hidden: false },
    { key: "postalCode", name: "Postal code", hidden: false },
    { key: "country", name: "Country", hidden: false },
    { key: "company", name: "Company", hidden: false },
    { key: "email", name: "Email", hidden: false },
    { key: "phone", name: "Phone", hidden: false },
    { key: "ssn", name: "Social security number", hidden: true },
    { key: "username", name: "Username", hidden: false },
    { key: "passportNumber", name: "Passport number", hidden: true },
    { key: "licenseNumber", name: "Licence number", hidden: true },
  ],
  sshKey: [
    { key: "privateKey", name: "Private key", hidden: true },
    { key: "publicKey", name: "Public key", hidden: false },
    { key: "keyFingerprint", name: "Fingerprint", hidden: false },
  ],
};

/** Custom fields of items: 2 is a tick box, 3 a link to a part of the item. */
export const FIELD_TYPES = { text: 0, hidden: 1, boolean: 2, linked: 3 } as const;
export const ITEM_TYPES = { login: 1, note: 2, card: 3, identity: 4, sshKey: 5 } as const;
/** The name of a field that holds a tag beyond the one folder that an item can be in. */
export const TAG_FIELD = "Tag";
