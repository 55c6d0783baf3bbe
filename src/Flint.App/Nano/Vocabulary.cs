namespace Flint.App.Nano;

/// <summary>The words of nano's world that several skills share, and names made from syllables.</summary>
internal static class Vocabulary
{
    /// <summary>A person of the stories.</summary>
    internal readonly record struct Person(string Name, bool Female)
    {
        internal string He => Female ? "she" : "he";

        internal string HeBig => Female ? "She" : "He";

        internal string Him => Female ? "her" : "him";

        internal string His => Female ? "her" : "his";
    }

    private const string FemaleNames = "Mira Anna Lena Nora Ella Clara Rosa Ida Emma Julia Maya Tara Vera Zoe Alma Nina Eva Ruth Lucy Iris Olga Petra Hana Dina Sara Kira Lily Marta Greta Flora";
    private const string MaleNames = "Tom Ben Max Leo Paul Otto Hugo Finn Karl Ivan Oscar Felix Emil Adam Noah Luis Marco Peter Simon Victor David Bruno Anton Erik Jonas Milo Theo Omar Nils Rolf";

    internal static readonly Person[] People =
        [.. FemaleNames.Split(' ').Select(n => new Person(n, true)), .. MaleNames.Split(' ').Select(n => new Person(n, false))];

    internal static readonly string[] Colours = "red blue green yellow black white brown grey orange purple pink silver golden".Split(' ');

    internal static readonly string[] Animals = "dog cat rabbit horse goat sheep cow pig duck goose mouse parrot hamster turtle fox bear wolf owl frog bee".Split(' ');

    internal static readonly string[] Pets = "dog cat rabbit horse goat duck mouse parrot hamster turtle".Split(' ');

    internal static readonly string[] Fruits = "apple pear plum cherry peach lemon melon grape banana fig".Split(' ');

    internal static readonly string[] Foods = "soup bread cheese rice pancakes noodles salad cake fish honey potatoes carrots beans pie eggs porridge".Split(' ');

    internal static readonly string[] Things = "lamp bicycle coat hat bag umbrella chair table book clock box cup knife basket kettle scarf ladder candle mirror blanket".Split(' ');

    internal static readonly string[] Countables = "apples pears plums marbles stickers books cards shells stones coins nuts buttons stamps pencils flowers eggs candles cookies tickets beads".Split(' ');

    internal static readonly string[] Jobs = "baker teacher painter farmer doctor gardener driver singer miller tailor sailor cook nurse carpenter librarian postman potter guard".Split(' ');

    internal static readonly string[] Spots = "kitchen garden cellar attic garage drawer cupboard barn hall shed office bathroom".Split(' ');

    internal static readonly string[] Instruments = "piano flute violin guitar drum harp trumpet".Split(' ');

    internal static readonly string[] Vehicles = "train bus boat car bicycle tram horse".Split(' ');

    internal static readonly string[] Days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".Split(' ');

    internal static readonly string[] Months = "January February March April May June July August September October November December".Split(' ');

    internal static readonly string[] Buildings = "tower bridge school mill library station church museum".Split(' ');

    internal static readonly string[] Shops = "bakery bookshop market museum library pool cinema pharmacy".Split(' ');

    internal static readonly string[] Cities = "Oslo Paris Rome Madrid Berlin London Vienna Prague Lisbon Athens Cairo Tokyo Delhi Lima Boston Dublin Warsaw Helsinki Zurich Budapest".Split(' ');

    internal static readonly string[] Plans = "bake a cake,visit my aunt,paint the fence,go to the sea,read a book,clean the kitchen,plant a tree,ride my bicycle,write a letter,repair the lamp,buy a coat,feed the ducks".Split(',');

    private static readonly string[] Starts = "B Br D Dr F G Gr H J K Kl L M N P Pr R S St T Tr V W Z".Split(' ');
    private static readonly string[] Middles = "a e i o u a e o au ei".Split(' ');
    private static readonly string[] Joints = "b d g l m n r s t v ld nd rk ll mm nn rr st lt rn".Split(' ');
    private static readonly string[] PlaceEnds = "ell en ow ik ia ano ora ham by ford ton wick mar dal".Split(' ');
    private static readonly string[] NameEnds = "a o i an en el ik us ina ara ona ew".Split(' ');

    /// <summary>A person, half of the time with a made-up name.</summary>
    internal static string AnyName(NanoRandom random) => random.Chance(50) ? random.Pick(People).Name : MadeName(random);

    /// <summary>A made-up first name.</summary>
    internal static string MadeName(NanoRandom random) =>
        random.Pick(Starts) + random.Pick(Middles) + random.Pick(Joints) + random.Pick(NameEnds);

    /// <summary>A made-up place.</summary>
    internal static string MadePlace(NanoRandom random) =>
        random.Pick(Starts) + random.Pick(Middles) + random.Pick(Joints) + (random.Chance(25) ? random.Pick(Middles) + random.Pick(Joints) : "") + random.Pick(PlaceEnds);

    /// <summary>A time of day on a five-minute mark.</summary>
    internal static string Time(NanoRandom random) => $"{random.Range(6, 22):00}:{random.Below(12) * 5:00}";

    /// <summary>Letters and digits as on a key or a parcel.</summary>
    internal static string Code(NanoRandom random) => random.Below(4) switch
    {
        0 => $"{Letter(random)}{Digits(random, 1)}-{Digits(random, 3)}",
        1 => $"{Letter(random)}{Letter(random)}-{Digits(random, 4)}",
        2 => $"{Digits(random, 2)}-{Letter(random)}-{Digits(random, 2)}",
        _ => Digits(random, random.Range(4, 6)),
    };

    internal static string Digits(NanoRandom random, int count)
    {
        Span<char> digits = stackalloc char[count];
        for (int i = 0; i < count; i++) digits[i] = (char)('0' + random.Range(i == 0 ? 1 : 0, 9));
        return new string(digits);
    }

    internal static char Letter(NanoRandom random) => "ABCDEFGHKLMNPRSTVXZ"[random.Below(19)];

    /// <summary>The word with its article.</summary>
    internal static string A(string word) => ("aeio".Contains(word[0]) || word is "umbrella" ? "an " : "a ") + word;

    /// <summary>With a capital letter in front.</summary>
    internal static string Big(string text) => char.ToUpperInvariant(text[0]) + text[1..];

    /// <summary>With a small letter in front.</summary>
    internal static string Small(string text) => char.ToLowerInvariant(text[0]) + text[1..];

    /// <summary>As a list in a sentence: <c>a, b and c</c>.</summary>
    internal static string And(IReadOnlyList<string> items) =>
        items.Count == 1 ? items[0] : string.Join(", ", items.Take(items.Count - 1)) + " and " + items[^1];
}
