using static Flint.App.Nano.Vocabulary;

namespace Flint.App.Nano;

/// <summary>What stands in invoices and contracts.</summary>
internal static partial class Forms
{
    private static readonly (string Code, string Word)[] Currencies =
        [("EUR", "euros"), ("USD", "dollars"), ("GBP", "pounds"), ("CHF", "francs"), ("JPY", "yen"), ("SEK", "crowns")];

    private static readonly string[] CompanyEnds = "Ltd,Inc,and Sons,Trading,Works,Group,Store,Foods,Press,Garden".Split(',');

    private static Field[] Invoice(NanoRandom random, int style)
    {
        string vendor = Company(random), customer = random.Chance(50) ? Company(random) : FullName(random);
        string number = $"{Letter(random)}{Letter(random)}-{Digits(random, 4)}", city = random.Chance(50) ? random.Pick(Cities) : MadePlace(random);
        (string code, string word) = random.Pick(Currencies);
        (string total, string totalRaw, string totalJson) = Money(random, code, word);
        (string date, string dateJson) = Day(random);
        (string due, string dueJson) = Day(random);
        bool paid = random.Chance(50);
        string paidRaw = paid ? random.Pick(["has been paid", "is settled", "was paid in full"]) : random.Pick(["is still open", "has not been paid", "is not settled yet"]);
        string by = random.Pick(["card", "cash", "transfer"]);
        string percent = $"{random.Range(3, 25)}";
        (string itemsText, string itemsRaw, string itemsSchema, string itemsJson) = Items(random, style);
        return
        [
            new(["invoice_number", "number", "invoice_id"], Text, random.Pick([$"Invoice number: {number}.", $"Number {number}.", $"This invoice has the number {number}."]), number, $"\"{number}\""),
            new(["vendor", "seller", "supplier"], Text, random.Pick([$"From: {vendor}.", $"Sold by {vendor}.", $"The seller is {vendor}."]), vendor, $"\"{vendor}\""),
            new(["customer", "buyer", "client"], Text, random.Pick([$"To: {customer}.", $"Bill to {customer}.", $"The buyer is {customer}."]), customer, $"\"{customer}\""),
            new(["date", "invoice_date", "issued"], Date, random.Pick([$"Date: {date}.", $"Issued on {date}.", $"Written on {date}."]), date, $"\"{dateJson}\""),
            new(["due_date", "due", "pay_by"], Date, random.Pick([$"Due: {due}.", $"Please pay by {due}.", $"It is due on {due}."]), due, $"\"{dueJson}\""),
            new(["total", "total_amount", "sum"], Number, random.Pick([$"Total: {total}.", $"The total is {total}.", $"In all {total} are charged."]), totalRaw, totalJson, IsMoney: true),
            new(["currency", "currency_code"], Text, random.Pick([$"All prices are in {word}.", $"The currency is {code}.", $"We count in {word}."]), word, $"\"{code}\""),
            new(["paid", "is_paid", "settled"], Boolean, $"The invoice {paidRaw}.", paidRaw, paid ? "true" : "false"),
            new(["method", "payment", "pay_with"], "{\"type\": \"string\", \"enum\": [\"card\", \"cash\", \"transfer\"]}", random.Pick([$"Payment by {by}.", $"It is paid by {by}.", $"Pay with {by}."]), by, $"\"{by}\""),
            new(["tax_percent", "tax", "vat"], Integer, random.Pick([$"Tax: {percent} percent.", $"The tax is {percent} percent.", $"It has {percent} percent tax."]), percent, percent),
            new(["city", "place", "town"], Text, random.Pick([$"Place: {city}.", $"The goods go to {city}.", $"Sent to {city}."]), city, $"\"{city}\""),
            new(["items", "lines", "goods"], itemsSchema, itemsText, itemsRaw, itemsJson, IsMoney: true),
        ];
    }

    private static Field[] Clause(NanoRandom random, string kind)
    {
        (string[] first, string firstWord, string[] second, string secondWord, string[] money, string moneyWord) = kind switch
        {
            "lease" => (new[] { "landlord", "lessor", "owner" }, "landlord", new[] { "tenant", "lessee", "renter" }, "tenant", new[] { "rent", "monthly_rent" }, "rent"),
            "employment" => (["employer", "company"], "employer", ["employee", "worker"], "employee", ["salary", "wage", "pay"], "salary"),
            "service" => (["provider", "supplier"], "provider", ["client", "customer"], "client", ["fee", "price"], "fee"),
            _ => (["lender", "bank"], "lender", ["borrower", "debtor"], "borrower", ["amount", "loan_amount"], "loan"),
        };
        string one = Company(random), two = FullName(random), city = random.Chance(50) ? random.Pick(Cities) : MadePlace(random);
        (string code, string word) = random.Pick(Currencies);
        (string sum, string sumRaw, string sumJson) = Money(random, code, word);
        (string start, string startJson) = Day(random);
        (string end, string endJson) = Day(random);
        (string signed, string signedJson) = Day(random);
        int months = random.Range(1, 24), days = random.Range(5, 90);
        bool renewable = random.Chance(50);
        string renewRaw = renewable ? random.Pick(["can be renewed", "is renewed each year", "may be extended"]) : random.Pick(["cannot be renewed", "ends without renewal", "may not be extended"]);
        string pay = random.Pick(["weekly", "monthly", "yearly"]), party = FullName(random), town = random.Chance(50) ? random.Pick(Cities) : MadePlace(random);
        return
        [
            new(first, Text, random.Pick([$"The {firstWord} is {one}.", $"{one} is the {firstWord}.", $"{Big(firstWord)}: {one}."]), one, $"\"{one}\""),
            new(second, Text, random.Pick([$"The {secondWord} is {two}.", $"{two} is the {secondWord}.", $"{Big(secondWord)}: {two}."]), two, $"\"{two}\""),
            new(money, Number, random.Pick([$"The {moneyWord} is {sum}.", $"The {moneyWord} shall be {sum}.", $"{Big(moneyWord)}: {sum}."]), sumRaw, sumJson, IsMoney: true),
            new(["currency", "currency_code"], Text, random.Pick([$"All sums are in {word}.", $"The currency is {code}.", $"Payments are made in {word}."]), word, $"\"{code}\""),
            new(["start_date", "start", "begins"], Date, random.Pick([$"It begins on {start}.", $"The contract starts on {start}.", $"Start: {start}."]), start, $"\"{startJson}\""),
            new(["end_date", "end", "ends"], Date, random.Pick([$"It ends on {end}.", $"The contract runs until {end}.", $"End: {end}."]), end, $"\"{endJson}\""),
            new(["signed", "signed_on", "signature_date"], Date, random.Pick([$"It was signed on {signed}.", $"Signed on {signed}.", $"Both sides signed on {signed}."]), signed, $"\"{signedJson}\""),
            new(["notice_days", "notice"], Integer, random.Pick([$"The notice is {days} days.", $"Notice: {days} days.", $"Either side may end it with {days} days of notice."]), $"{days} days", $"{days}"),
            new(["months", "duration_months", "term"], Integer, random.Pick([$"It runs for {months} months.", $"The term is {months} months.", $"Term: {months} months."]), $"{months} months", $"{months}"),
            new(["renewable", "can_renew"], Boolean, $"The contract {renewRaw}.", renewRaw, renewable ? "true" : "false"),
            new(["paid", "payment", "interval"], "{\"type\": \"string\", \"enum\": [\"weekly\", \"monthly\", \"yearly\"]}", random.Pick([$"Payment is {pay}.", $"The money is paid {pay}.", $"It is paid {pay}."]), pay, $"\"{pay}\""),
            new(["city", "court", "place"], Text, random.Pick([$"The court is in {city}.", $"Place of the court: {city}.", $"The courts of {city} decide."]), city, $"\"{city}\""),
            new(["witness", "witnessed_by"], "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}, \"city\": {\"type\": \"string\"}}, \"required\": [\"name\", \"city\"]}",
                random.Pick([$"The witness is {party} of {town}.", $"Witness: {party} of {town}.", $"{party} of {town} is the witness."]), $"{party} of {town}", $"{{\"name\": \"{party}\", \"city\": \"{town}\"}}"),
        ];
    }

    private static (string Text, string Raw, string Schema, string Json) Items(NanoRandom random, int style)
    {
        (string name, string count, string price) = style switch
        {
            0 => ("name", "quantity", "price"),
            1 => ("item", "count", "price"),
            _ => ("description", "quantity", "unit_price"),
        };
        string schema = $"{{\"type\": \"array\", \"items\": {{\"type\": \"object\", \"properties\": {{\"{name}\": {{\"type\": \"string\"}}, \"{count}\": {{\"type\": \"integer\"}}, \"{price}\": {{\"type\": \"number\"}}}}}}}}";
        string[] things = random.Sample(Things, random.Range(1, 3));
        var texts = new string[things.Length];
        var jsons = new string[things.Length];
        for (int i = 0; i < things.Length; i++)
        {
            int many = random.Range(1, 20);
            string each = random.Chance(30) ? $"{random.Range(2, 99)}.{random.Range(10, 99)}" : $"{random.Range(2, 400)}";
            texts[i] = $"{many} x {things[i]} at {each}";
            jsons[i] = $"{{\"{name}\": \"{things[i]}\", \"{count}\": {many}, \"{price}\": {each}}}";
        }
        string list = string.Join("; ", texts);
        return (random.Pick(["Items: ", "Goods: ", "We sent: "]) + list + ".", list, schema, $"[{string.Join(", ", jsons)}]");
    }

    private static string Company(NanoRandom random) => (random.Chance(60) ? MadePlace(random) : random.Pick(People).Name) + " " + random.Pick(CompanyEnds);

    private static string FullName(NanoRandom random) => AnyName(random) + " " + MadePlace(random);

    // The amount as the text says it, its digits as they stand there, and the number.
    private static (string Text, string Raw, string Json) Money(NanoRandom random, string code, string word)
    {
        int whole = random.Below(3) switch { 0 => random.Range(12, 999), 1 => random.Range(1000, 9999), _ => random.Range(10_000, 99_999) };
        string cents = random.Chance(30) ? $".{random.Range(10, 99)}" : "";
        string digits = whole >= 1000 && random.Chance(70) ? $"{whole / 1000},{whole % 1000:000}" : $"{whole}";
        string amount = digits + cents;
        return (random.Below(3) switch { 0 => $"{amount} {code}", 1 => $"{code} {amount}", _ => $"{amount} {word}" }, amount, $"{whole}{cents}");
    }

    private static (string Text, string Json) Day(NanoRandom random)
    {
        int year = random.Range(2015, 2034), month = random.Range(1, 12), day = random.Range(1, month == 2 ? 28 : 30);
        string text = random.Below(4) switch
        {
            0 => $"{day} {Months[month - 1]} {year}",
            1 => $"{Months[month - 1]} {day}, {year}",
            2 => $"{day:00}.{month:00}.{year}",
            _ => $"{year}-{month:00}-{day:00}",
        };
        return (text, $"{year}-{month:00}-{day:00}");
    }
}
