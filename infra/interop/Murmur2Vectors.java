import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.common.utils.Utils;

/**
 * Prints keys with the partitions Kafka's own Java client gives them: the key in hexadecimal (`-` when empty), its partition of 12 and of
 * 64. The output is crates/record/tests/vectors/murmur2-java.txt; make it again with
 * `java -cp kafka-clients.jar:slf4j-api.jar Murmur2Vectors.java > murmur2-java.txt`.
 */
public final class Murmur2Vectors {
    private static final String ASCII = "abcdefghijklmnopqrstuvwxyz0123456789-_:|";
    private static final String[] WIDE = {"ä", "ß", "é", "ł", "Ж", "字", "日", "한", "🌊", "🧊", "\u0000", "\n"};

    public static void main(String[] args) {
        Random random = new Random(20_250_101);
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < 10_000; i++) {
            byte[] key = key(random, i);
            int hash = Utils.toPositive(Utils.murmur2(key));
            String hex = key.length == 0 ? "-" : HexFormat.of().formatHex(key);
            out.append(hex).append(' ').append(hash % 12).append(' ').append(hash % 64).append('\n');
        }
        System.out.print(out);
    }

    /** Every third key is bytes, the others are texts, of which half have characters beyond ASCII. */
    private static byte[] key(Random random, int i) {
        int length = random.nextInt(17);
        if (i % 3 == 0) {
            byte[] bytes = new byte[length];
            random.nextBytes(bytes);
            return bytes;
        }
        StringBuilder text = new StringBuilder();
        for (int at = 0; at < length; at++) {
            boolean wide = i % 3 == 1 && random.nextInt(4) == 0;
            text.append(wide ? WIDE[random.nextInt(WIDE.length)] : ASCII.charAt(random.nextInt(ASCII.length())));
        }
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }
}
