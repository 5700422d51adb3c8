//! Currencies of ISO 4217, and how many decimal digits their minor units have.

/// Codes in use, by the digits of the minor unit. Funds, metals and codes for tests are left out:
/// nothing is billed in them.
const BY_EXPONENT: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD \
         CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP \
         GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD \
         LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB \
         PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC \
         SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW \
         ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// Decimal digits of a currency's minor unit, where there is such a currency.
pub fn exponent_of(code: &str) -> Option<u8> {
    let is_code = code.len() == 3 && code.bytes().all(|c| c.is_ascii_uppercase());
    let listed = |(_, codes): &&(u8, &str)| codes.split_whitespace().any(|known| known == code);
    BY_EXPONENT.iter().filter(|_| is_code).find(listed).map(|(exponent, _)| *exponent)
}

/// All of them, for suggestions.
pub fn currencies() -> impl Iterator<Item = &'static str> {
    BY_EXPONENT.iter().flat_map(|(_, codes)| codes.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_have_the_digits_that_iso_4217_says() {
        for (code, exponent) in
            [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("CLF", 4)]
        {
            assert_eq!(exponent_of(code), Some(exponent), "{code}");
        }
        for none in ["", "eur", "EURO", "XXX", "XTS", "XAU", "EU", "E R"] {
            assert_eq!(exponent_of(none), None, "{none}");
        }
    }

    #[test]
    fn no_currency_is_listed_twice() {
        let all: Vec<&str> = currencies().collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
        assert!(all.iter().all(|code| exponent_of(code).is_some()));
        assert!(all.len() > 150);
    }
}
